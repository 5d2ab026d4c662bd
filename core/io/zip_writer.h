#ifndef RETORT_CORE_IO_ZIP_WRITER_H_
#define RETORT_CORE_IO_ZIP_WRITER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/base/atomic_file_writer.h"

namespace retort::io {

// Writes a zip file of stored entries (zip_directory.h reads it). The same
// entries give the same bytes: the time in them is 1980.
//
//   ZipWriter zip(writer.get());
//   RETORT_RETURN_IF_ERROR(zip.Add("archive/data.pkl", bytes));
//   RETORT_RETURN_IF_ERROR(zip.Finish());
//   RETORT_RETURN_IF_ERROR(writer->Commit());
//
// Errors are those of the file. Not thread-safe; `file` outlives it.
class ZipWriter {
 public:
  // `always_64`: 64-bit sizes and offsets though the numbers are small; for
  // tests, which write no 4 GiB.
  explicit ZipWriter(base::AtomicFileWriter* file, bool always_64 = false)
      : file_(file), always_64_(always_64) {}

  // Adds an entry, whose bytes begin at a multiple of 64 in the file, as
  // PyTorch wants it. `name` is shorter than 64 KiB and not there yet.
  absl::Status Add(absl::string_view name, absl::string_view bytes);

  // Writes the directory; call it once, at the end.
  absl::Status Finish();

 private:
  base::AtomicFileWriter* const file_;
  const bool always_64_;
  std::string directory_;
  uint64_t entries_ = 0;
};

}  // namespace retort::io

#endif  // RETORT_CORE_IO_ZIP_WRITER_H_
