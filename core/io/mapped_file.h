#ifndef RETORT_CORE_IO_MAPPED_FILE_H_
#define RETORT_CORE_IO_MAPPED_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace retort::io {

// A file's bytes without a copy of them. The file must not become shorter
// meanwhile: it is our own, or a person's on a machine of their own.
class MappedFile {
 public:
  // Errors as base::ReadFile, without its limit.
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(
      const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  absl::string_view bytes() const { return bytes_; }

 private:
  explicit MappedFile(absl::string_view bytes) : bytes_(bytes) {}

  const absl::string_view bytes_;
};

}  // namespace retort::io

#endif  // RETORT_CORE_IO_MAPPED_FILE_H_
