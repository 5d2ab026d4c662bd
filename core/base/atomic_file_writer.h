#ifndef RETORT_CORE_BASE_ATOMIC_FILE_WRITER_H_
#define RETORT_CORE_BASE_ATOMIC_FILE_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/sha256.h"

namespace retort::base {

// Writes a file that appears under its name complete or not at all.
//
//   RETORT_ASSIGN_OR_RETURN(auto writer, AtomicFileWriter::Create(path));
//   RETORT_RETURN_IF_ERROR(writer->Append(header));
//   RETORT_RETURN_IF_ERROR(writer->Append(body));
//   RETORT_RETURN_IF_ERROR(writer->Commit());
//
// The bytes go to a temporary file beside `path`; Commit() syncs it, renames
// it over `path` and syncs the directory. A writer destroyed before a
// successful Commit() removes its temporary file and leaves an older file
// under `path` as it was. Errors are those of core/base/file.h. Not
// thread-safe; two writers of one path do not disturb each other, the last
// Commit() wins.
class AtomicFileWriter {
 public:
  static absl::StatusOr<std::unique_ptr<AtomicFileWriter>> Create(
      const std::string& path);
  ~AtomicFileWriter();
  AtomicFileWriter(const AtomicFileWriter&) = delete;
  AtomicFileWriter& operator=(const AtomicFileWriter&) = delete;

  // After an error the writer is only good for destruction.
  absl::Status Append(absl::string_view bytes);

  // Call once. Returns OK when the new file is on the disk.
  absl::Status Commit();

  // Returns the SHA-256 of all that was appended; call after Commit().
  const std::string& sha256() const { return sha256_; }
  int64_t bytes_written() const { return bytes_written_; }

 private:
  AtomicFileWriter(std::string path, std::string temporary_path, int fd);

  const std::string path_;
  const std::string temporary_path_;
  int fd_;
  bool committed_ = false;
  int64_t bytes_written_ = 0;
  Sha256 hash_;
  std::string sha256_;
};

}  // namespace retort::base

#endif  // RETORT_CORE_BASE_ATOMIC_FILE_WRITER_H_
