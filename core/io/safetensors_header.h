#ifndef RETORT_CORE_IO_SAFETENSORS_HEADER_H_
#define RETORT_CORE_IO_SAFETENSORS_HEADER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/io/safetensors_dtype.h"

namespace retort::io {

// One tensor's entry. `begin` and `end` count from the end of the header.
struct SafetensorsEntry {
  std::string name;
  const SafetensorsDtype* dtype;
  std::vector<int64_t> shape;
  int64_t begin = 0;
  int64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of their data
  std::map<std::string, std::string> metadata;
};

// Parses the JSON part of a file whose data part has `data_bytes` bytes, and
// verifies that the entries describe exactly these bytes: byte counts match
// shapes, nothing overlaps, nothing is left over. InvalidArgument, naming
// the tensor, otherwise. Takes no memory beyond a multiple of `json`.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json,
                                                         int64_t data_bytes);

// Returns the file's bytes up to the data: length, JSON, and spaces that
// bring the data to a multiple of 8. InvalidArgument for text that is not
// UTF-8 or a header above kMaxSafetensorsHeaderBytes.
absl::StatusOr<std::string> FormatSafetensorsHeader(
    const SafetensorsHeader& header);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_SAFETENSORS_HEADER_H_
