#include "core/data/idx_file.h"

#include <zlib.h>

#include <climits>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace retort::data {
namespace {

constexpr int64_t kMaxArrayBytes = int64_t{1} << 30;
constexpr uint8_t kUnsignedByteType = 0x08;

// Deflate cannot shrink data further than this (zlib's technical notes).
constexpr int64_t kMaxDeflateRatio = 1032;

bool IsGzip(absl::string_view bytes) {
  return bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
}

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(
      path, " is damaged: ", what, "; fetch the file (or its package) again"));
}

// Where the decoded bytes come from: a gzip stream or the file itself.
class ByteSource {
 public:
  ByteSource(absl::string_view bytes, const std::string& path)
      : rest_(bytes), path_(path), gzip_(IsGzip(bytes)) {}
  ~ByteSource() {
    if (started_) inflateEnd(&stream_);
  }
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  // Appends up to `count` decoded bytes to *out; fewer only at the end.
  absl::Status Read(int64_t count, std::string* out) {
    if (gzip_) return Inflate(count, out);
    const absl::string_view piece = rest_.substr(0, count);
    out->append(piece.data(), piece.size());
    rest_.remove_prefix(piece.size());
    return absl::OkStatus();
  }

 private:
  absl::Status Inflate(int64_t count, std::string* out) {
    if (!started_) {
      // 16 asks zlib for the gzip wrapper, whose checksum it verifies.
      if (inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK) {
        return absl::ResourceExhaustedError("no memory to decompress");
      }
      started_ = true;
      stream_.next_in =
          reinterpret_cast<Bytef*>(const_cast<char*>(rest_.data()));
      stream_.avail_in = static_cast<uInt>(rest_.size());
    }
    const size_t start = out->size();
    out->resize(start + count);
    stream_.next_out = reinterpret_cast<Bytef*>(out->data() + start);
    stream_.avail_out = static_cast<uInt>(count);
    while (!ended_ && stream_.avail_out > 0) {
      const int result = inflate(&stream_, Z_NO_FLUSH);
      ended_ = result == Z_STREAM_END;
      if (result == Z_OK || ended_) continue;
      return Damaged(
          path_,
          absl::StrCat("the gzip stream breaks at byte ", stream_.total_in,
                       " of ", rest_.size(), ": ",
                       result == Z_BUF_ERROR    ? "it is truncated"
                       : stream_.msg != nullptr ? stream_.msg
                                                : "it cannot be decompressed"));
    }
    out->resize(out->size() - stream_.avail_out);
    return absl::OkStatus();
  }

  absl::string_view rest_;
  const std::string path_;
  const bool gzip_;
  z_stream stream_ = {};
  bool started_ = false;
  bool ended_ = false;
};

uint32_t BigEndian(const std::string& bytes, size_t offset) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    value = value << 8 | static_cast<uint8_t>(bytes[offset + i]);
  }
  return value;
}

absl::StatusOr<std::vector<int64_t>> ParseHeader(const std::string& header,
                                                 int rank,
                                                 const std::string& path) {
  const size_t expected_bytes = 4 + 4 * static_cast<size_t>(rank);
  if (header.size() != expected_bytes) {
    return Damaged(path, absl::StrCat("it ends at offset ", header.size(),
                                      " within the header, expected ",
                                      expected_bytes, " bytes of it"));
  }
  const uint32_t magic = uint32_t{kUnsignedByteType} << 8 | rank;
  if (BigEndian(header, 0) != magic) {
    return Damaged(
        path, absl::StrCat("at offset 0, expected the IDX magic 0x",
                           absl::Hex(magic, absl::kZeroPad8), ", found 0x",
                           absl::Hex(BigEndian(header, 0), absl::kZeroPad8)));
  }
  std::vector<int64_t> shape;
  for (int i = 0; i < rank; ++i) shape.push_back(BigEndian(header, 4 + 4 * i));
  return shape;
}

absl::StatusOr<int64_t> CountElements(const std::vector<int64_t>& shape,
                                      const std::string& path) {
  int64_t count = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] > 0 && count > kMaxArrayBytes / shape[i]) {
      return Damaged(
          path, absl::StrCat("at offset ", 4 + 4 * i, ", dimension ", shape[i],
                             " makes an array above the limit of ",
                             kMaxArrayBytes, " bytes"));
    }
    count *= shape[i];
  }
  return count;
}

}  // namespace

absl::StatusOr<IdxArray> ParseIdx(absl::string_view file_bytes, int rank,
                                  const std::string& path) {
  if (file_bytes.size() > UINT_MAX) {
    return Damaged(path, "it is larger than 4 GiB");
  }
  ByteSource source(file_bytes, path);
  std::string header;
  RETORT_RETURN_IF_ERROR(source.Read(4 + 4 * rank, &header));
  IdxArray array;
  RETORT_ASSIGN_OR_RETURN(array.shape, ParseHeader(header, rank, path));
  RETORT_ASSIGN_OR_RETURN(const int64_t count,
                          CountElements(array.shape, path));
  const int64_t possible =
      static_cast<int64_t>(file_bytes.size()) * kMaxDeflateRatio;
  if (count > possible) {
    return Damaged(path, absl::StrCat("its header announces ", count,
                                      " bytes, which a file of ",
                                      file_bytes.size(), " cannot hold"));
  }
  RETORT_RETURN_IF_ERROR(source.Read(count, &array.bytes));
  if (static_cast<int64_t>(array.bytes.size()) != count) {
    return Damaged(
        path, absl::StrCat("it ends at offset ",
                           header.size() + array.bytes.size(), ", expected ",
                           header.size() + count, " bytes by its header"));
  }
  // Also makes zlib reach the end of the stream and verify the checksum.
  std::string excess;
  RETORT_RETURN_IF_ERROR(source.Read(1, &excess));
  if (!excess.empty()) {
    return Damaged(path,
                   absl::StrCat("it goes on at offset ", header.size() + count,
                                ", where it ends by its header"));
  }
  return array;
}

}  // namespace retort::data
