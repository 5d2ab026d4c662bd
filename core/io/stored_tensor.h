#ifndef RETORT_CORE_IO_STORED_TENSOR_H_
#define RETORT_CORE_IO_STORED_TENSOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// Tensors as they lie in a file: bytes, type, shape and strides, without
// LibTorch.
namespace retort::io {

enum class StoredDtype : uint8_t {
  kFloat64,
  kFloat32,
  kFloat16,
  kBFloat16,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUint8,
  kBool,
};

int64_t ElementBytes(StoredDtype dtype);

struct StoredTensor {
  StoredDtype dtype = StoredDtype::kFloat32;
  absl::string_view storage;  // whole elements; perhaps of other tensors too
  int64_t offset = 0;         // of the first element, in elements
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;  // in elements, one per dimension

  // Their product. Call CheckView first.
  int64_t Elements() const;
};

struct NamedTensor {
  std::string name;
  StoredTensor tensor;
};

// InvalidArgument unless every element lies in the storage, nothing is
// negative or leaves 64 bits, and there are no more elements than the storage
// has: so that a few bytes cannot ask for a terabyte.
absl::Status CheckView(const StoredTensor& tensor);

// Copies the elements in row-major order: Elements() * ElementBytes() bytes.
// CheckView must have said OK.
void CopyElements(const StoredTensor& tensor, char* to);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_STORED_TENSOR_H_
