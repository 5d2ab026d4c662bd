#ifndef RETORT_CORE_DATA_FILE_SET_H_
#define RETORT_CORE_DATA_FILE_SET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace retort::data {

// One file of a set.
struct FileEntry {
  std::string name;   // below the set's root, with slashes
  uint64_t size = 0;  // uncompressed
  uint32_t crc = 0;   // CRC-32 of its bytes, as in zip files
};

// The files of a zip archive or of a folder: names and sizes in memory, bytes
// read on demand. Immutable and thread-safe.
class FileSet {
 public:
  virtual ~FileSet() = default;

  // Sorted by name, byte by byte; no name twice.
  virtual const std::vector<FileEntry>& entries() const = 0;

  // Returns all bytes of entries()[index]. DataLoss, naming archive and file,
  // when they are not what the entry says; InvalidArgument for a file of more
  // than `max_bytes`.
  virtual absl::StatusOr<std::string> Read(size_t index,
                                           int64_t max_bytes) const = 0;

  // Index of a name; -1 if there is none.
  int64_t Find(const std::string& name) const;
};

// Opens a zip file (core/io/zip_directory.h) and reads its list of files. Costs
// a hundred bytes an entry. Errors: NotFound and those of reading; DataLoss,
// with offset and remedy, for a damaged archive.
absl::StatusOr<std::unique_ptr<FileSet>> OpenZip(const std::string& path);

// Lists a folder's regular files, all levels. Symbolic links to files count,
// those to folders are not followed. Reads every file once for its CRC.
absl::StatusOr<std::unique_ptr<FileSet>> OpenFolder(const std::string& path);

}  // namespace retort::data

#endif  // RETORT_CORE_DATA_FILE_SET_H_
