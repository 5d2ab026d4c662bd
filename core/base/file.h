#ifndef RETORT_CORE_BASE_FILE_H_
#define RETORT_CORE_BASE_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/sha256.h"

// Files, with errors that name the path, the cause and what to do about it.
//
// Codes used throughout: NotFound (no such file), PermissionDenied (also a
// read-only file system), AlreadyExists, InvalidArgument (a directory where
// a file should be, or the reverse), ResourceExhausted (disk, quota, file
// size limit or file handles used up; the message carries the remedy),
// Unavailable (EAGAIN: no process or thread more for now),
// DataLoss (an I/O error of the device), Unknown for the rest.
//
// What a function wrote is on the disk, not only in the page cache, when it
// returns OK. All functions are thread-safe.
namespace retort::base {

inline constexpr int64_t kDefaultMaxFileBytes = int64_t{1} << 30;

// Returns the whole content. A file larger than `max_bytes` is refused with
// InvalidArgument before anything is allocated.
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     int64_t max_bytes = kDefaultMaxFileBytes);

// Replaces (or creates) `path` in one step: a reader, or a crash at any
// point, sees the old content or the new one, never a mixture. On error the
// old file is untouched. For content made piecewise use AtomicFileWriter.
absl::Status AtomicWriteFile(const std::string& path, absl::string_view bytes);

// Returns the file's SHA-256 as 64 lower-case hex digits.
absl::StatusOr<std::string> Sha256File(const std::string& path);

// Creates a directory and its missing parents; OK if it is there already.
absl::Status MakeDirs(const std::string& path);

// Removes a file or a directory with all it holds, following no links. OK if
// there is nothing.
absl::Status RemoveTree(const std::string& path);

// rename(2), then the parents are synced: a file replaces a file, a
// directory only an empty one (see ReplaceDir).
absl::Status Rename(const std::string& from, const std::string& to);

// Puts directory `from` in the place of `to`, which may hold something: the
// old content is removed once the new one is in place. In one step where
// the file system can exchange names, else with a moment where `to` is
// missing.
absl::Status ReplaceDir(const std::string& from, const std::string& to);

// Forces a directory's list of names to the disk.
absl::Status SyncDir(const std::string& path);

// Returns the bytes that an ordinary user may still write where `path`
// (which must exist) lies.
absl::StatusOr<int64_t> FreeBytes(const std::string& path);

absl::StatusOr<int64_t> FileSize(const std::string& path);

// False also when the answer cannot be had (no permission).
bool FileExists(const std::string& path);
bool IsDirectory(const std::string& path);

// Returns the names (not paths) in a directory, sorted, without . and ..
absl::StatusOr<std::vector<std::string>> ListDir(const std::string& path);

// Returns the directory part of a path: "." for a bare name.
std::string ParentDir(const std::string& path);

// Turns an errno value into a Status with the codes above. `action` says
// what failed, with the path, as in "writing /data/x". `path` locates the
// file system whose free space the message reports.
absl::Status ErrnoStatus(int error, absl::string_view action,
                         const std::string& path);

}  // namespace retort::base

#endif  // RETORT_CORE_BASE_FILE_H_
