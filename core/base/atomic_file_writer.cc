#include "core/base/atomic_file_writer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/file.h"
#include "core/base/file_internal.h"
#include "core/base/status_macros.h"
#include "core/base/write_fault.h"

namespace retort::base {
namespace {

using internal::RetryInterrupted;

// Pieces small enough that a fault's byte budget means what it says.
constexpr size_t kMaxWrite = size_t{1} << 20;

// Beside `path`, since a rename cannot cross file systems; with the process
// and a counter, so that no two writers share one.
std::string TemporaryPath(const std::string& path) {
  static std::atomic<uint64_t> counter{0};
  return absl::StrCat(path, ".tmp.", getpid(), ".", counter.fetch_add(1));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AtomicFileWriter>> AtomicFileWriter::Create(
    const std::string& path) {
  if (IsDirectory(path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot write a file at ", path, ": it is a directory"));
  }
  std::string temporary = TemporaryPath(path);
  const int fd = RetryInterrupted([&] {
    return ::open(temporary.c_str(),
                  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  });
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("writing ", path), path);
  return absl::WrapUnique(new AtomicFileWriter(path, std::move(temporary), fd));
}

AtomicFileWriter::AtomicFileWriter(std::string path, std::string temporary_path,
                                   int fd)
    : path_(std::move(path)),
      temporary_path_(std::move(temporary_path)),
      fd_(fd) {}

AtomicFileWriter::~AtomicFileWriter() {
  if (fd_ >= 0) ::close(fd_);
  if (!committed_) ::unlink(temporary_path_.c_str());
}

absl::Status AtomicFileWriter::Append(absl::string_view bytes) {
  RETORT_CHECK(fd_ >= 0, "Append() after Commit()");
  while (!bytes.empty()) {
    const size_t want = std::min(bytes.size(), kMaxWrite);
    if (const int fault = ScopedWriteFault::Charge(want); fault != 0) {
      return ErrnoStatus(fault, absl::StrCat("writing ", path_), path_);
    }
    const ssize_t got =
        RetryInterrupted([&] { return ::write(fd_, bytes.data(), want); });
    if (got < 0) {
      return ErrnoStatus(errno, absl::StrCat("writing ", path_), path_);
    }
    hash_.Update(bytes.substr(0, got));
    bytes.remove_prefix(got);
    bytes_written_ += got;
  }
  return absl::OkStatus();
}

absl::Status AtomicFileWriter::Commit() {
  RETORT_CHECK(fd_ >= 0, "Commit() twice");
  // File systems that allocate late report a full disk only here.
  const bool synced = RetryInterrupted([&] { return ::fsync(fd_); }) == 0;
  const int sync_error = errno;
  const bool closed = ::close(std::exchange(fd_, -1)) == 0;
  if (!synced || !closed) {
    return ErrnoStatus(synced ? errno : sync_error,
                       absl::StrCat("writing ", path_), path_);
  }
  if (::rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("renaming into ", path_), path_);
  }
  committed_ = true;
  sha256_ = hash_.HexDigest();
  return SyncDir(ParentDir(path_));
}

absl::Status AtomicWriteFile(const std::string& path, absl::string_view bytes) {
  RETORT_ASSIGN_OR_RETURN(auto writer, AtomicFileWriter::Create(path));
  RETORT_RETURN_IF_ERROR(writer->Append(bytes));
  return writer->Commit();
}

}  // namespace retort::base
