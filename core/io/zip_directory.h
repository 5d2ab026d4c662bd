#ifndef RETORT_CORE_IO_ZIP_DIRECTORY_H_
#define RETORT_CORE_IO_ZIP_DIRECTORY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Zip files, for data sets and for PyTorch's weights: PKWARE's APPNOTE 6.3,
// stored or deflated entries, with the 64-bit extensions, no encryption, one
// part. The directory stands at the end, behind the entries; a reader goes from
// the end record to the directory, and from an item of it to the entry's own
// header and its bytes.
//
// Nothing in the file is trusted: every offset and length is compared with the
// file before memory is taken, and entries that overlap are refused, so that
// reading them all takes no more than deflate's 1032 times the file. What is
// wrong with a file is InvalidArgument, with the offset or the entry's name and
// without a remedy: the caller knows where the file comes from.
namespace retort::io {

// The bytes of an archive, wherever they are.
class ZipBytes {
 public:
  virtual ~ZipBytes() = default;
  virtual uint64_t size() const = 0;
  // Returns `count` bytes from `offset` on; they lie within size().
  virtual absl::StatusOr<std::string> ReadAt(uint64_t offset,
                                             uint64_t count) const = 0;
};

// What the directory says of an entry's bytes.
struct ZipPlace {
  uint64_t size = 0;    // unpacked
  uint64_t stored = 0;  // in the archive
  uint64_t offset = 0;  // of the entry's own header
  uint64_t end = 0;     // what comes next begins there
  uint32_t crc = 0;     // CRC-32 of the unpacked bytes
  uint16_t method = 0;
  uint16_t flags = 0;
};

struct ZipEntry {
  std::string name;  // as in the file; nothing is ever opened by it
  ZipPlace place;
};

// Reads the directory. Sorted by name, byte by byte; a name that is there twice
// is an error, as is a directory of more than 1 GiB. Costs a hundred bytes an
// entry.
absl::StatusOr<std::vector<ZipEntry>> ReadZipDirectory(const ZipBytes& zip);

// Returns the offset of the entry's place.stored bytes, once its own header
// agrees with the directory and they end before `place.end`. An error for an
// entry that is encrypted, of another method, or of impossible sizes.
absl::StatusOr<uint64_t> FindZipData(const ZipBytes& zip,
                                     absl::string_view name,
                                     const ZipPlace& place);

// An error unless `bytes`, unpacked, have the CRC-32 that is written.
absl::Status CheckZipCrc(absl::string_view name, const ZipPlace& place,
                         absl::string_view bytes);

// Reads, unpacks and checks one entry. Memory: place.size, which the caller has
// looked at, and place.stored.
absl::StatusOr<std::string> ReadZipEntry(const ZipBytes& zip,
                                         absl::string_view name,
                                         const ZipPlace& place);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_ZIP_DIRECTORY_H_
