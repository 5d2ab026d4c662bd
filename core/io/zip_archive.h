#ifndef RETORT_CORE_IO_ZIP_ARCHIVE_H_
#define RETORT_CORE_IO_ZIP_ARCHIVE_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace retort::io {

// True if the bytes start as a zip file does.
bool IsZip(absl::string_view bytes);

// True if the zip file has an entry whose name ends so; false for a file that
// is none.
bool ZipHasEntry(absl::string_view bytes, absl::string_view ending);

// The entries of a zip file by name, as views into `bytes`: what torch.save
// writes. Entries are stored, not compressed, so that they cannot be larger
// than the file. Names are names in a map and never paths.
//
// InvalidArgument, with the entry, for all that zip_directory.h refuses, and
// unless each CRC-32 is that of its bytes. `check_crc` is false only to fuzz
// what lies behind the checksums.
absl::StatusOr<std::map<std::string, absl::string_view>> ReadZip(
    absl::string_view bytes, bool check_crc = true);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_ZIP_ARCHIVE_H_
