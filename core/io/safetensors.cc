#include "core/io/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/atomic_file_writer.h"
#include "core/base/file.h"
#include "core/base/file_internal.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/io/safetensors_header.h"

// The format is little-endian and so is everything that this runs on.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

namespace retort::io {
namespace {

using base::internal::FileHandle;
using base::internal::RetryInterrupted;

constexpr int64_t kLengthBytes = 8;

absl::Status WithPath(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(path, ": ", status.message()));
}

// Reads a file front to back, hashing on the way.
class SequentialReader {
 public:
  SequentialReader(const std::string& path, int fd, bool hashing)
      : path_(path), file_(fd), hashing_(hashing) {}

  bool valid() const { return file_.valid(); }

  absl::StatusOr<int64_t> Size() const {
    struct stat info;
    if (::fstat(file_.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(
          absl::StrCat("reading ", path_, ": it is not a regular file"));
    }
    return static_cast<int64_t>(info.st_size);
  }

  absl::Status Read(char* to, int64_t bytes) {
    int64_t done = 0;
    while (done < bytes) {
      const ssize_t got = RetryInterrupted(
          [&] { return ::read(file_.get(), to + done, bytes - done); });
      if (got < 0) {
        return base::ErrnoStatus(errno, absl::StrCat("reading ", path_), path_);
      }
      if (got == 0) {
        return absl::InvalidArgumentError(
            absl::StrCat(path_, ": the file became shorter while being read"));
      }
      done += got;
    }
    if (hashing_) hash_.Update(absl::string_view(to, bytes));
    return absl::OkStatus();
  }

  std::string HexDigest() { return hash_.HexDigest(); }

 private:
  const std::string path_;
  const FileHandle file_;
  const bool hashing_;
  base::Sha256 hash_;
};

absl::StatusOr<SafetensorsHeader> ReadHeader(const std::string& path,
                                             SequentialReader* reader) {
  RETORT_ASSIGN_OR_RETURN(const int64_t file_bytes, reader->Size());
  if (file_bytes < kLengthBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": not a safetensors file: ", file_bytes,
        " bytes long, the header's length alone takes ", kLengthBytes));
  }
  unsigned char raw[kLengthBytes];
  RETORT_RETURN_IF_ERROR(
      reader->Read(reinterpret_cast<char*>(raw), kLengthBytes));
  uint64_t header_bytes = 0;
  for (int i = 0; i < kLengthBytes; ++i) {
    header_bytes |= uint64_t{raw[i]} << (8 * i);
  }
  const int64_t rest = file_bytes - kLengthBytes;
  if (header_bytes > static_cast<uint64_t>(kMaxSafetensorsHeaderBytes) ||
      header_bytes > static_cast<uint64_t>(rest)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": not a safetensors file, or a truncated one: it announces a ",
        "header of ", header_bytes, " bytes; ", rest, " follow and ",
        kMaxSafetensorsHeaderBytes, " are allowed"));
  }
  std::string json(header_bytes, '\0');
  RETORT_RETURN_IF_ERROR(reader->Read(json.data(), json.size()));
  auto header = ParseSafetensorsHeader(json, rest - header_bytes);
  if (!header.ok()) return WithPath(path, header.status());
  return header;
}

// A bool of any other value than 0 and 1 is undefined behaviour to read.
bool AllBools(const at::Tensor& tensor) {
  const auto* bytes = static_cast<const uint8_t*>(tensor.data_ptr());
  return std::all_of(bytes, bytes + tensor.numel(),
                     [](uint8_t byte) { return byte <= 1; });
}

absl::StatusOr<at::Tensor> ReadTensor(const std::string& path,
                                      const SafetensorsEntry& entry,
                                      SequentialReader* reader) {
  at::Tensor tensor =
      at::empty(entry.shape, at::TensorOptions(entry.dtype->type));
  RETORT_RETURN_IF_ERROR(reader->Read(static_cast<char*>(tensor.data_ptr()),
                                      entry.end - entry.begin));
  if (entry.dtype->type == at::kBool && !AllBools(tensor)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": tensor '", entry.name,
                     "' is BOOL but holds a byte other than 0 and 1"));
  }
  return tensor;
}

absl::Status CheckWritable(const std::string& name, const at::Tensor& tensor) {
  if (!tensor.defined()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", name, "' is undefined"));
  }
  if (tensor.layout() != at::kStrided || tensor.is_quantized()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", name,
                     "' is sparse or quantized; convert it "
                     "to a plain dense tensor"));
  }
  if (FindDtype(tensor.scalar_type()) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tensor '", name, "' has dtype ", c10::toString(tensor.scalar_type()),
        "; convert it to one of ", SupportedDtypes()));
  }
  return absl::OkStatus();
}

// Lays the tensors out: larger dtypes first, so that each tensor is aligned
// though none is padded, then by name.
absl::StatusOr<SafetensorsHeader> LayOut(
    const TensorMap& tensors,
    const std::map<std::string, std::string>& metadata) {
  SafetensorsHeader header;
  header.metadata = metadata;
  for (const auto& [name, tensor] : tensors) {
    RETORT_RETURN_IF_ERROR(CheckWritable(name, tensor));
    header.entries.push_back({name, FindDtype(tensor.scalar_type()),
                              tensor.sizes().vec(), 0,
                              static_cast<int64_t>(tensor.nbytes())});
  }
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
                     return a.dtype->rank > b.dtype->rank;
                   });
  int64_t position = 0;
  for (SafetensorsEntry& entry : header.entries) {
    entry.begin = position;
    position += entry.end;
    entry.end = position;
  }
  return header;
}

}  // namespace

absl::StatusOr<SafetensorsFile> ReadSafetensors(const std::string& path,
                                                std::string* sha256) {
  SequentialReader reader(path, RetryInterrupted([&] {
                            return ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
                          }),
                          /*hashing=*/sha256 != nullptr);
  if (!reader.valid()) {
    return base::ErrnoStatus(errno, absl::StrCat("reading ", path), path);
  }
  RETORT_ASSIGN_OR_RETURN(SafetensorsHeader header, ReadHeader(path, &reader));
  SafetensorsFile file;
  file.metadata = std::move(header.metadata);
  for (const SafetensorsEntry& entry : header.entries) {
    RETORT_ASSIGN_OR_RETURN(file.tensors[entry.name],
                            ReadTensor(path, entry, &reader));
  }
  if (sha256 != nullptr) *sha256 = reader.HexDigest();
  return file;
}

absl::Status WriteSafetensors(
    const std::string& path, const TensorMap& tensors,
    const std::map<std::string, std::string>& metadata, std::string* sha256) {
  const auto header = LayOut(tensors, metadata);
  if (!header.ok()) return WithPath(path, header.status());
  const auto prefix = FormatSafetensorsHeader(*header);
  if (!prefix.ok()) return WithPath(path, prefix.status());
  RETORT_ASSIGN_OR_RETURN(auto writer, base::AtomicFileWriter::Create(path));
  RETORT_RETURN_IF_ERROR(writer->Append(*prefix));
  for (const SafetensorsEntry& entry : header->entries) {
    const at::Tensor plain = tensors.at(entry.name)
                                 .detach()
                                 .resolve_conj()
                                 .resolve_neg()
                                 .to(at::kCPU)
                                 .contiguous();
    RETORT_RETURN_IF_ERROR(writer->Append(absl::string_view(
        static_cast<const char*>(plain.data_ptr()), plain.nbytes())));
  }
  RETORT_RETURN_IF_ERROR(writer->Commit());
  if (sha256 != nullptr) *sha256 = writer->sha256();
  return absl::OkStatus();
}

}  // namespace retort::io
