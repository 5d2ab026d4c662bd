#ifndef RETORT_SERVER_REGISTRY_SAFETENSORS_HEADER_H_
#define RETORT_SERVER_REGISTRY_SAFETENSORS_HEADER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// The structure of a safetensors file, read without LibTorch: retortd looks
// at what people send before any process loads it. Whether names and shapes
// fit a network is for `retort-worker --check-model` to say.
namespace retort::registry {

struct TensorEntry {
  std::string name;
  std::string dtype;  // "F32"
  std::vector<int64_t> shape;
  int64_t begin = 0;  // of its bytes, counted from the end of the header
  int64_t end = 0;

  int64_t Elements() const;
};

// Headers are a few hundred kilobytes; a larger one is an attack or damage.
inline constexpr int64_t kMaxHeaderBytes = int64_t{32} << 20;

// Parses the JSON part of a file whose data part has `data_bytes` bytes.
// Verifies that the tensors' bytes follow each other without gap or overlap
// and fill the file exactly. InvalidArgument (FILE_INVALID), naming the
// tensor, otherwise. Returns the tensors in the order of their bytes.
absl::StatusOr<std::vector<TensorEntry>> ParseTensorEntries(
    absl::string_view json, int64_t data_bytes);

// Reads the header of the file at `path` and parses it as above.
absl::StatusOr<std::vector<TensorEntry>> ReadTensorEntries(
    const std::string& path);

// Returns the number of weights: elements of all tensors but the network's
// constants (filters of its resampling layers, frequencies of its embedding)
// and the coefficients of its preconditioning.
int64_t CountParameters(const std::vector<TensorEntry>& entries);

}  // namespace retort::registry

#endif  // RETORT_SERVER_REGISTRY_SAFETENSORS_HEADER_H_
