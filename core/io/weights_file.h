#ifndef RETORT_CORE_IO_WEIGHTS_FILE_H_
#define RETORT_CORE_IO_WEIGHTS_FILE_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/io/stored_tensor.h"
#include "core/io/torch_file.h"

namespace retort::io {

// The weights in a file of Python's.
struct StoredWeights {
  enum class Form {
    kEdmSnapshot,       // dict with `ema`
    kEdmTrainingState,  // dict with `net` and `optimizer_state`
    kStateDict,         // tensors by name
  };
  Form form;
  std::vector<NamedTensor> tensors;
  nlohmann::json network;  // of core/nn; null in a state dict
};

// Finds the weights that a file holds. InvalidArgument, with what there is
// instead, if it is none of the three forms, or if all its tensors together
// are far larger than the file.
absl::StatusOr<StoredWeights> FindWeights(TorchFile* file, int64_t file_bytes);

// "edm-snapshot", ...
const char* FormName(StoredWeights::Form form);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_WEIGHTS_FILE_H_
