#include "core/base/link_tree.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/atomic_file_writer.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace retort::base {
namespace {

constexpr size_t kPieceBytes = size_t{4} << 20;

absl::Status CopyWhole(const std::string& from, const std::string& to) {
  RETORT_ASSIGN_OR_RETURN(const auto writer, AtomicFileWriter::Create(to));
  std::ifstream source(from, std::ios::binary);
  std::string piece(kPieceBytes, '\0');
  while (source.read(piece.data(), kPieceBytes) || source.gcount() > 0) {
    RETORT_RETURN_IF_ERROR(writer->Append(
        absl::string_view(piece.data(), static_cast<size_t>(source.gcount()))));
  }
  if (!source.eof()) {
    return absl::DataLossError(absl::StrCat("copying ", from,
                                            ": cannot be read to its end; ",
                                            "check its permissions and disk"));
  }
  return writer->Commit();
}

absl::Status LinkOrCopy(const std::string& from, const std::string& to) {
  if (::link(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  switch (errno) {
    // Another file system, one without hard links, or too many of them.
    case EXDEV:
    case EPERM:
    case EOPNOTSUPP:
    case EMLINK:
      return CopyWhole(from, to);
    default:
      return ErrnoStatus(errno, absl::StrCat("linking ", from), from);
  }
}

}  // namespace

absl::Status LinkTree(const std::string& from, const std::string& to) {
  RETORT_RETURN_IF_ERROR(MakeDirs(to));
  RETORT_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(from));
  for (const std::string& name : names) {
    const std::string source = absl::StrCat(from, "/", name);
    const std::string target = absl::StrCat(to, "/", name);
    struct stat info;
    if (::lstat(source.c_str(), &info) != 0) {
      return ErrnoStatus(errno, absl::StrCat("looking at ", source), source);
    }
    if (S_ISDIR(info.st_mode)) {
      RETORT_RETURN_IF_ERROR(LinkTree(source, target));
    } else if (S_ISREG(info.st_mode)) {
      RETORT_RETURN_IF_ERROR(LinkOrCopy(source, target));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat(source, " is neither a file nor a directory"));
    }
  }
  return SyncDir(to);
}

}  // namespace retort::base
