#ifndef RETORT_CORE_IO_ZIP_ARCHIVE_H_
#define RETORT_CORE_IO_ZIP_ARCHIVE_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace retort::io {

// True if the bytes start as a zip file does.
bool IsZip(absl::string_view bytes);

// The entries of a zip file by name, as views into `bytes`: what torch.save
// writes, with zip64. Entries are stored, not compressed, so that they cannot
// be larger than the file. Names are names in a map and never paths.
//
// InvalidArgument, with the entry, unless the directory at the end and every
// local header agree, entries lie in the file without overlapping, no name
// occurs twice, and each CRC-32 is that of its bytes. `check_crc` is false
// only to fuzz what lies behind the checksums.
absl::StatusOr<std::map<std::string, absl::string_view>> ReadZip(
    absl::string_view bytes, bool check_crc = true);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_ZIP_ARCHIVE_H_
