#ifndef RETORT_CORE_DATA_IDX_FILE_H_
#define RETORT_CORE_DATA_IDX_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace retort::data {

// An array of unsigned bytes in MNIST's IDX format: two zero bytes, type
// 0x08, the number of dimensions, each dimension as a big-endian 32-bit
// number, then the elements.
struct IdxArray {
  std::vector<int64_t> shape;
  std::string bytes;  // row-major, as many as the product of `shape`
};

// Parses `file_bytes`, gzip-compressed or plain, which must hold exactly
// `rank` dimensions. `path` is for messages. Takes no more memory than the
// header announces, and refuses an announcement above 1 GiB. DataLoss with
// offset, expected and actual value for anything else than a whole file.
absl::StatusOr<IdxArray> ParseIdx(absl::string_view file_bytes, int rank,
                                  const std::string& path);

}  // namespace retort::data

#endif  // RETORT_CORE_DATA_IDX_FILE_H_
