#ifndef RETORT_CORE_IO_IMPORT_WEIGHTS_H_
#define RETORT_CORE_IO_IMPORT_WEIGHTS_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "core/io/safetensors.h"
#include "core/io/stored_tensor.h"

namespace retort::io {

// Weights out of a file of Python's (weights_file.h).
struct ImportedWeights {
  TensorMap tensors;       // floats as float32, other types as they are
  nlohmann::json network;  // as the file has it, for core/nn; null if not
  std::string form;        // "edm-snapshot", "edm-training-state", ...
};

// Reads a file that torch.save or EDM's pickle.dump wrote. Nothing in it is
// run, and it can ask for no more memory than a small multiple of its size.
//
// Errors: those of core/base/file.h; InvalidArgument, with what is wrong and
// what to do, for any other file.
absl::StatusOr<ImportedWeights> ImportWeights(const std::string& path);

// The tensor as LibTorch's own, contiguous. CheckView must have said OK.
at::Tensor ToTorch(const StoredTensor& stored);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_IMPORT_WEIGHTS_H_
