#ifndef RETORT_CORE_IO_EDM_MODULE_H_
#define RETORT_CORE_IO_EDM_MODULE_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/io/pickle_value.h"
#include "core/io/stored_tensor.h"
#include "core/io/torch_file.h"

// NVlabs/edm pickles its networks as persistent objects: the class's name and
// source text, and the object's __dict__. The source text is not looked at.
namespace retort::io {

// A persistent object: EDM's networks, losses and augmentations.
struct EdmObject {
  std::string class_name;
  const PickleValue* state;  // a dict: its __dict__
};

// InvalidArgument for anything else, or another version than 6 of that format.
absl::StatusOr<EdmObject> ReadEdmObject(const PickleValue& value);

// Returns the arguments that an object was made with, by name; `positional`
// names those that may come without.
absl::StatusOr<nlohmann::json> ConstructorArguments(
    const EdmObject& object, const std::vector<std::string>& positional = {});

// An EDMPrecond with its weights.
struct EdmNetwork {
  nlohmann::json arguments;  // of its constructor, as the file has them
  nlohmann::json network;    // the same as a network of core/nn
  // state_dict() and the names of parameters(), in PyTorch's order.
  std::vector<NamedTensor> state;
  std::vector<std::string> parameters;
};

// InvalidArgument, naming the module or tensor, for another class, a module
// tree that is none, or tensors that do not lie in the file.
absl::StatusOr<EdmNetwork> ReadEdmNetwork(TorchFile* file,
                                          const PickleValue& value);

// What Adam remembers of one parameter.
struct AdamSlot {
  std::string parameter;
  double step = 0;
  StoredTensor exp_avg, exp_avg_sq;
};

struct AdamState {
  nlohmann::json groups;        // param_groups as in the file
  std::vector<AdamSlot> slots;  // only of parameters that have had a gradient
};

// Reads the state_dict() of an Adam over `parameters`.
absl::StatusOr<AdamState> ReadAdamState(
    TorchFile* file, const PickleValue& value,
    const std::vector<std::string>& parameters);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_EDM_MODULE_H_
