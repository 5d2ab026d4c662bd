#include "core/io/edm_module.h"

#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/io/plain_data.h"

namespace retort::io {
namespace {

using Json = nlohmann::json;

constexpr int64_t kPersistenceVersion = 6;
constexpr int kMaxModuleDepth = 32;
constexpr int kMaxModules = 1 << 14;
constexpr size_t kMaxModuleTensors = 1 << 16;
constexpr size_t kMaxModuleName = 1024;

absl::Status BadModule(absl::string_view name, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      name.empty()
          ? std::string("the network")
          : absl::StrCat("'", absl::CHexEscape(name.substr(0, 200)), "'"),
      " ", what));
}

bool Contains(const PickleValue* set, const PickleValue& name) {
  if (set == nullptr) return false;
  for (const PickleValue* item : set->items) {
    if (item->IsText(name.text)) return true;
  }
  return false;
}

// Walks a module tree as torch.nn.Module.state_dict() does. The file decides
// what refers to what, so steps and depth are counted.
class ModuleWalk {
 public:
  ModuleWalk(TorchFile* file, EdmNetwork* network)
      : file_(file), network_(network) {}

  absl::Status Walk(const PickleValue& value, const std::string& prefix,
                    int depth) {
    if (depth > kMaxModuleDepth || ++modules_ > kMaxModules ||
        prefix.size() > kMaxModuleName) {
      return BadModule(prefix, "nests deeper than any network");
    }
    RETORT_ASSIGN_OR_RETURN(const PickleValue* state, StateOf(value, prefix));
    RETORT_RETURN_IF_ERROR(
        Tensors(state->Find("_parameters"), nullptr, prefix, true));
    RETORT_RETURN_IF_ERROR(Tensors(state->Find("_buffers"),
                                   state->Find("_non_persistent_buffers_set"),
                                   prefix, false));
    const PickleValue* modules = state->Find("_modules");
    if (modules == nullptr || !modules->Is(PickleKind::kDict)) {
      return BadModule(prefix, "has no modules");
    }
    for (size_t i = 0; i + 1 < modules->items.size(); i += 2) {
      const PickleValue& child = *modules->items[i + 1];
      if (child.Is(PickleKind::kNone)) continue;
      RETORT_ASSIGN_OR_RETURN(const std::string name,
                              NameOf(*modules->items[i], prefix));
      RETORT_RETURN_IF_ERROR(Walk(child, name + ".", depth + 1));
    }
    return absl::OkStatus();
  }

 private:
  // The __dict__ of a persistent object or of a container.
  absl::StatusOr<const PickleValue*> StateOf(const PickleValue& value,
                                             const std::string& prefix) {
    const PickleValue* state = nullptr;
    if (value.IsObject(PickleGlobal::kModule)) {
      state = value.state;
    } else {
      const absl::StatusOr<EdmObject> object = ReadEdmObject(value);
      if (!object.ok()) return BadModule(prefix, object.status().message());
      state = object->state;
    }
    if (state == nullptr || !state->Is(PickleKind::kDict)) {
      return BadModule(prefix, "is no module");
    }
    return state;
  }

  absl::StatusOr<std::string> NameOf(const PickleValue& key,
                                     const std::string& prefix) {
    if (!key.Is(PickleKind::kText) || key.text.empty() ||
        key.text.size() > kMaxModuleName) {
      return BadModule(prefix, "has a part without a name");
    }
    return absl::StrCat(prefix, key.text);
  }

  absl::Status Tensors(const PickleValue* dict, const PickleValue* left_out,
                       const std::string& prefix, bool parameters) {
    if (dict == nullptr || !dict->Is(PickleKind::kDict)) {
      return BadModule(prefix, "has no parameters or buffers");
    }
    for (size_t i = 0; i + 1 < dict->items.size(); i += 2) {
      const PickleValue &key = *dict->items[i], &value = *dict->items[i + 1];
      if (value.Is(PickleKind::kNone) || Contains(left_out, key)) continue;
      RETORT_ASSIGN_OR_RETURN(const std::string name, NameOf(key, prefix));
      auto tensor = file_->Tensor(value);
      if (!tensor.ok()) return BadModule(name, tensor.status().message());
      if (network_->state.size() >= kMaxModuleTensors) {
        return BadModule(prefix, "has more tensors than any network");
      }
      network_->state.push_back({name, *std::move(tensor)});
      if (parameters) network_->parameters.push_back(name);
    }
    return absl::OkStatus();
  }

  TorchFile* const file_;
  EdmNetwork* const network_;
  int modules_ = 0;
};

// EDMPrecond's arguments as a network of core/nn: its own bounds of sigma and
// the reference's half precision switch decide no weight.
Json NetworkOf(const Json& arguments) {
  Json network = arguments;
  for (const char* name : {"use_fp16", "sigma_min", "sigma_max"}) {
    network.erase(name);
  }
  if (!network.contains("model_type")) network["model_type"] = "DhariwalUNet";
  return network;
}

absl::StatusOr<double> Step(TorchFile* file, const PickleValue& value) {
  if (value.Is(PickleKind::kInt)) return static_cast<double>(value.integer);
  if (value.Is(PickleKind::kFloat)) return value.real;
  RETORT_ASSIGN_OR_RETURN(const StoredTensor tensor, file->Tensor(value));
  if (tensor.Elements() != 1 || tensor.dtype != StoredDtype::kFloat32) {
    return absl::InvalidArgumentError("the optimiser's step is no number");
  }
  float step;
  CopyElements(tensor, reinterpret_cast<char*>(&step));
  return step;
}

absl::StatusOr<StoredTensor> Moment(TorchFile* file, const PickleValue& slot,
                                    const char* name) {
  const PickleValue* value = slot.Find(name);
  if (value == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the optimiser's state has no ", name, "; only Adam's is read"));
  }
  return file->Tensor(*value);
}

// The index that each parameter has in the state, by the order of the groups.
absl::StatusOr<std::map<int64_t, std::string>> ParameterIndex(
    const PickleValue& groups, const std::vector<std::string>& parameters) {
  std::map<int64_t, std::string> index;
  size_t next = 0;
  for (const PickleValue* group : groups.items) {
    const PickleValue* members = group->Find("params");
    if (members == nullptr) continue;
    for (const PickleValue* member : members->items) {
      if (next == parameters.size() || !member->Is(PickleKind::kInt)) {
        return absl::InvalidArgumentError(
            "the optimiser has other parameters than the network");
      }
      index[member->integer] = parameters[next++];
    }
  }
  if (next != parameters.size() || index.size() != parameters.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the optimiser has ", index.size(),
                     " parameters, the network ", parameters.size()));
  }
  return index;
}

}  // namespace

absl::StatusOr<EdmObject> ReadEdmObject(const PickleValue& value) {
  if (!value.IsObject(PickleGlobal::kPersistentClass) ||
      value.items.size() != 1) {
    return absl::InvalidArgumentError("is no object of EDM's persistence");
  }
  const PickleValue& meta = *value.items[0];
  const PickleValue* type = meta.Find("type");
  const PickleValue* version = meta.Find("version");
  const PickleValue* name = meta.Find("class_name");
  const PickleValue* state = meta.Find("state");
  if (type == nullptr || !type->IsText("class") || version == nullptr ||
      name == nullptr || !name->Is(PickleKind::kText) || state == nullptr ||
      !state->Is(PickleKind::kDict)) {
    return absl::InvalidArgumentError(
        "is a malformed object of EDM's persistence");
  }
  if (!version->Is(PickleKind::kInt) ||
      version->integer != kPersistenceVersion) {
    return absl::InvalidArgumentError(absl::StrCat(
        "is of version ", version->integer, " of EDM's persistence; only ",
        kPersistenceVersion, " is known"));
  }
  return EdmObject{std::string(name->text), state};
}

absl::StatusOr<Json> ConstructorArguments(
    const EdmObject& object, const std::vector<std::string>& positional) {
  const PickleValue* named = object.state->Find("_init_kwargs");
  const PickleValue* unnamed = object.state->Find("_init_args");
  if (named == nullptr || !named->Is(PickleKind::kDict) ||
      (unnamed != nullptr && unnamed->items.size() > positional.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("the arguments of ", absl::CHexEscape(object.class_name),
                     " are not in the file, or have no names"));
  }
  RETORT_ASSIGN_OR_RETURN(Json arguments, PlainData(*named));
  for (size_t i = 0; unnamed != nullptr && i < unnamed->items.size(); ++i) {
    RETORT_ASSIGN_OR_RETURN(arguments[positional[i]],
                            PlainData(*unnamed->items[i]));
  }
  return arguments;
}

absl::StatusOr<EdmNetwork> ReadEdmNetwork(TorchFile* file,
                                          const PickleValue& value) {
  const absl::StatusOr<EdmObject> object = ReadEdmObject(value);
  if (!object.ok()) return BadModule("", object.status().message());
  if (object->class_name != "EDMPrecond") {
    return BadModule(
        "", absl::StrCat("is a ",
                         absl::CHexEscape(object->class_name.substr(0, 100)),
                         "; of EDM's networks only EDMPrecond is known"));
  }
  EdmNetwork network;
  RETORT_ASSIGN_OR_RETURN(
      network.arguments,
      ConstructorArguments(
          *object, {"img_resolution", "img_channels", "label_dim", "use_fp16",
                    "sigma_min", "sigma_max", "sigma_data", "model_type"}));
  network.network = NetworkOf(network.arguments);
  RETORT_RETURN_IF_ERROR(ModuleWalk(file, &network).Walk(value, "", 0));
  if (network.parameters.empty()) return BadModule("", "has no parameters");
  return network;
}

absl::StatusOr<AdamState> ReadAdamState(
    TorchFile* file, const PickleValue& value,
    const std::vector<std::string>& parameters) {
  const PickleValue* state = value.Find("state");
  const PickleValue* groups = value.Find("param_groups");
  if (state == nullptr || !state->Is(PickleKind::kDict) || groups == nullptr ||
      !groups->Is(PickleKind::kList)) {
    return absl::InvalidArgumentError(
        "the optimiser's state has no 'state' or 'param_groups'");
  }
  AdamState adam;
  RETORT_ASSIGN_OR_RETURN(adam.groups, PlainData(*groups));
  RETORT_ASSIGN_OR_RETURN(const auto index,
                          ParameterIndex(*groups, parameters));
  for (size_t i = 0; i + 1 < state->items.size(); i += 2) {
    const PickleValue &key = *state->items[i], &slot = *state->items[i + 1];
    const auto found = index.find(key.integer);
    const PickleValue* step = slot.Find("step");
    if (!key.Is(PickleKind::kInt) || found == index.end() || step == nullptr) {
      return absl::InvalidArgumentError(
          "the optimiser has a state that belongs to no parameter");
    }
    AdamSlot entry;
    entry.parameter = found->second;
    RETORT_ASSIGN_OR_RETURN(entry.step, Step(file, *step));
    RETORT_ASSIGN_OR_RETURN(entry.exp_avg, Moment(file, slot, "exp_avg"));
    RETORT_ASSIGN_OR_RETURN(entry.exp_avg_sq, Moment(file, slot, "exp_avg_sq"));
    adam.slots.push_back(std::move(entry));
  }
  return adam;
}

}  // namespace retort::io
