#include "core/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "core/base/file_internal.h"
#include "core/base/status_macros.h"

namespace retort::base {
namespace {

using internal::FileHandle;
using internal::RetryInterrupted;

// Free space where `path` is or would be, for messages: " (12 MiB free)".
std::string FreeSpaceNote(const std::string& path) {
  struct statvfs info;
  if (::statvfs(path.c_str(), &info) != 0 &&
      ::statvfs(ParentDir(path).c_str(), &info) != 0) {
    return "";
  }
  const uint64_t bytes = uint64_t{info.f_bavail} * info.f_frsize;
  return absl::StrCat(" (", bytes >> 20, " MiB free there now)");
}

std::string Remedy(int error, const std::string& path) {
  switch (error) {
    case ENOSPC:
      return absl::StrCat(FreeSpaceNote(path), "; free space on the disk of ",
                          ParentDir(path),
                          " or use a directory on another disk, then retry");
    case EDQUOT:
      return absl::StrCat("; delete files of this user on the disk of ",
                          ParentDir(path), " or have the quota raised");
    case EFBIG:
      return "; raise the file size limit (ulimit -f)";
    case EMFILE:
    case ENFILE:
      return "; raise the open files limit (ulimit -n)";
    case ENOMEM:
      return "; free memory, or add swap";
    case EAGAIN:
      return "; raise the limit of processes and threads (ulimit -u), or end "
             "some";
    case EACCES:
    case EPERM:
      return "; check the owner and mode of the path and its directories";
    case EROFS:
      return "; use a directory on a writable file system";
    case EIO:
      return "; the device may be failing, see the kernel log";
    default:
      return "";
  }
}

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case EEXIST:
    case ENOTEMPTY:
      return absl::StatusCode::kAlreadyExists;
    case EISDIR:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
      return absl::StatusCode::kInvalidArgument;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case EAGAIN:
      return absl::StatusCode::kUnavailable;
    case EIO:
      return absl::StatusCode::kDataLoss;
    default:
      return absl::StatusCode::kUnknown;
  }
}

absl::Status SyncParents(const std::string& a, const std::string& b) {
  RETORT_RETURN_IF_ERROR(SyncDir(ParentDir(a)));
  if (ParentDir(a) == ParentDir(b)) return absl::OkStatus();
  return SyncDir(ParentDir(b));
}

// Opens a regular file for reading and finds its size.
absl::StatusOr<int> OpenForReading(const std::string& path, int64_t* size) {
  const int fd = RetryInterrupted(
      [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); });
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("reading ", path), path);
  struct stat info;
  if (::fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
    ::close(fd);
    return absl::InvalidArgumentError(
        absl::StrCat("reading ", path, ": it is not a file"));
  }
  *size = info.st_size;
  return fd;
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view action,
                         const std::string& path) {
  return absl::Status(
      CodeOf(error),
      absl::StrCat(action, ": ", std::generic_category().message(error),
                   Remedy(error, path)));
}

std::string ParentDir(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return path.empty() ? "." : "/";
  const size_t slash = path.rfind('/', end);
  if (slash == std::string::npos) return ".";
  const size_t last = path.find_last_not_of('/', slash);
  return last == std::string::npos ? "/" : path.substr(0, last + 1);
}

absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     int64_t max_bytes) {
  int64_t size = 0;
  RETORT_ASSIGN_OR_RETURN(const int fd, OpenForReading(path, &size));
  FileHandle file(fd);
  const auto too_large = [&] {
    return absl::InvalidArgumentError(absl::StrCat(
        "reading ", path, ": it is larger than the ", max_bytes,
        " bytes allowed for such a file; check that it is the right file"));
  };
  if (size > max_bytes) return too_large();
  // Files of /proc say 0 and a file may grow, so the end of file decides.
  std::string content;
  content.resize(size > 0 ? size : 4096);
  size_t filled = 0;
  while (true) {
    const ssize_t got = RetryInterrupted([&] {
      return ::read(file.get(), content.data() + filled,
                    content.size() - filled);
    });
    if (got < 0)
      return ErrnoStatus(errno, absl::StrCat("reading ", path), path);
    if (got == 0) break;
    filled += got;
    if (static_cast<int64_t>(filled) > max_bytes) return too_large();
    if (filled == content.size()) content.resize(filled + filled / 2 + 4096);
  }
  content.resize(filled);
  return content;
}

absl::StatusOr<std::string> Sha256File(const std::string& path) {
  int64_t size = 0;
  RETORT_ASSIGN_OR_RETURN(const int fd, OpenForReading(path, &size));
  FileHandle file(fd);
  constexpr size_t kBufferBytes = size_t{1} << 20;
  const auto buffer = std::make_unique<char[]>(kBufferBytes);
  Sha256 hash;
  while (true) {
    const ssize_t got = RetryInterrupted(
        [&] { return ::read(file.get(), buffer.get(), kBufferBytes); });
    if (got < 0)
      return ErrnoStatus(errno, absl::StrCat("reading ", path), path);
    if (got == 0) return hash.HexDigest();
    hash.Update(absl::string_view(buffer.get(), got));
  }
}

absl::Status MakeDirs(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("empty directory name");
  if (IsDirectory(path)) return absl::OkStatus();
  const std::string parent = ParentDir(path);
  if (parent != path && parent != ".") RETORT_RETURN_IF_ERROR(MakeDirs(parent));
  if (::mkdir(path.c_str(), 0755) == 0) return SyncDir(parent);
  int error = errno;
  if (error == EEXIST) {
    if (IsDirectory(path)) return absl::OkStatus();
    error = ENOTDIR;
  }
  return ErrnoStatus(error, absl::StrCat("creating directory ", path), path);
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  // An entry that somebody else removed first is no failure.
  if (!error || error == std::errc::no_such_file_or_directory) {
    return absl::OkStatus();
  }
  return ErrnoStatus(error.value(), absl::StrCat("removing ", path), path);
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("renaming ", from, " to ", to), to);
  }
  return SyncParents(from, to);
}

absl::Status ReplaceDir(const std::string& from, const std::string& to) {
  if (!FileExists(to)) return Rename(from, to);
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(),
                  RENAME_EXCHANGE) == 0) {
    RETORT_RETURN_IF_ERROR(SyncParents(from, to));
    return RemoveTree(from);
  }
  if (errno != EINVAL && errno != ENOSYS) {
    return ErrnoStatus(errno, absl::StrCat("renaming ", from, " to ", to), to);
  }
  const std::string old = absl::StrCat(to, ".old.", getpid());
  RETORT_RETURN_IF_ERROR(Rename(to, old));
  if (absl::Status moved = Rename(from, to); !moved.ok()) {
    Rename(old, to).IgnoreError();  // Best effort; `moved` is the news.
    return moved;
  }
  return RemoveTree(old);
}

absl::Status SyncDir(const std::string& path) {
  FileHandle dir(RetryInterrupted([&] {
    return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }));
  if (!dir.valid()) {
    return ErrnoStatus(errno, absl::StrCat("opening directory ", path), path);
  }
  if (RetryInterrupted([&] { return ::fsync(dir.get()); }) != 0 &&
      errno != EINVAL) {  // Some file systems cannot sync a directory.
    return ErrnoStatus(errno, absl::StrCat("syncing directory ", path), path);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> FreeBytes(const std::string& path) {
  struct statvfs info;
  if (::statvfs(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("asking for free space at ", path),
                       path);
  }
  return static_cast<int64_t>(info.f_bavail) *
         static_cast<int64_t>(info.f_frsize);
}

absl::StatusOr<int64_t> FileSize(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("looking at ", path), path);
  }
  return static_cast<int64_t>(info.st_size);
}

bool FileExists(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

bool IsDirectory(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

absl::StatusOr<std::vector<std::string>> ListDir(const std::string& path) {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (dir == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("listing ", path), path);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  if (errno != 0) {
    return ErrnoStatus(errno, absl::StrCat("listing ", path), path);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace retort::base
