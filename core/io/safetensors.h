#ifndef RETORT_CORE_IO_SAFETENSORS_H_
#define RETORT_CORE_IO_SAFETENSORS_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// The safetensors format: 8 bytes of header length, a JSON header with each
// tensor's dtype, shape and byte range, then the tensors' bytes. How this
// project uses it is in docs/formats.md.
//
// Dtypes: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL.
namespace retort::io {

using TensorMap = std::map<std::string, at::Tensor>;

// Headers above this are refused; that is room for some 100,000 tensors.
inline constexpr int64_t kMaxSafetensorsHeaderBytes = int64_t{16} << 20;

struct SafetensorsFile {
  TensorMap tensors;  // contiguous, on the CPU, owning their memory
  std::map<std::string, std::string> metadata;
};

// Reads a whole file. The file may come from anywhere: every length, shape
// and offset is checked against the file's real size before memory for it is
// taken, so a file can make this allocate no more than a small multiple of
// its own size. If `sha256` is not null it receives the hash of the bytes
// that were read.
//
// Errors: those of core/base/file.h, and InvalidArgument, with path and
// tensor, for a malformed file or a dtype that is not in the list above.
absl::StatusOr<SafetensorsFile> ReadSafetensors(const std::string& path,
                                                std::string* sha256 = nullptr);

// Writes the tensors to `path`, atomically (core/base/file.h). Same input,
// same bytes: tensors lie in descending order of dtype and then by name, as
// the Python package writes them, so that each is aligned to its own
// element size. Tensors may be strided, on any device, or require gradients.
// If `sha256` is not null it receives the hash of the file.
//
// Errors: those of core/base/file.h, and InvalidArgument for an undefined or
// sparse tensor, a dtype that is not in the list, a name that is
// "__metadata__" or not UTF-8.
absl::Status WriteSafetensors(
    const std::string& path, const TensorMap& tensors,
    const std::map<std::string, std::string>& metadata = {},
    std::string* sha256 = nullptr);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_SAFETENSORS_H_
