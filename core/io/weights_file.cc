#include "core/io/weights_file.h"

#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/io/edm_module.h"

namespace retort::io {
namespace {

constexpr size_t kMaxStateTensors = 1 << 16;
constexpr size_t kMaxKeysShown = 8;
constexpr size_t kMaxTensorName = 1024;
// Networks may share tensors between names, but not many.
constexpr int64_t kMaxExpansion = 4;

// "a, b, c, ...": for a person who sent the wrong file.
std::string Keys(const PickleValue& dict) {
  std::vector<std::string> keys;
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    if (keys.size() == kMaxKeysShown) {
      keys.push_back("...");
      break;
    }
    keys.push_back(dict.items[i]->Is(PickleKind::kText)
                       ? absl::CHexEscape(dict.items[i]->text.substr(0, 40))
                       : "?");
  }
  return keys.empty() ? "nothing" : absl::StrJoin(keys, ", ");
}

absl::Status NoWeights(const PickleValue& root) {
  return absl::InvalidArgumentError(absl::StrCat(
      "the file holds neither a network snapshot of EDM (a dict with 'ema'), "
      "nor its training state ('net'), nor a state dict of tensors; it has ",
      root.Is(PickleKind::kDict)
          ? absl::StrCat("a dict with ", Keys(root))
          : std::string("something that is no dict at all"),
      ". Save the network's state_dict() with torch.save"));
}

absl::StatusOr<StoredWeights> StateDict(TorchFile* file,
                                        const PickleValue& root) {
  StoredWeights weights{StoredWeights::Form::kStateDict, {}, {}};
  for (size_t i = 0; i + 1 < root.items.size(); i += 2) {
    const PickleValue &key = *root.items[i], &value = *root.items[i + 1];
    if (!key.Is(PickleKind::kText) || key.text.size() > kMaxTensorName ||
        !TorchFile::IsTensor(value) ||
        weights.tensors.size() == kMaxStateTensors) {
      return NoWeights(root);
    }
    auto tensor = file->Tensor(value);
    if (!tensor.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", absl::CHexEscape(key.text.substr(0, 200)),
                       "': ", tensor.status().message()));
    }
    weights.tensors.push_back({std::string(key.text), *std::move(tensor)});
  }
  if (weights.tensors.empty()) return NoWeights(root);
  return weights;
}

absl::Status CheckTogether(const StoredWeights& weights, int64_t file_bytes) {
  int64_t bytes = 0;
  std::set<absl::string_view> names;
  for (const NamedTensor& named : weights.tensors) {
    if (!names.insert(named.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", absl::CHexEscape(named.name), "' is there twice"));
    }
    // Each of them lies in the file, so that sums stay far below 64 bits.
    bytes += named.tensor.Elements() * ElementBytes(named.tensor.dtype);
  }
  if (bytes / kMaxExpansion > file_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the tensors overlap so much that the file's ", file_bytes,
                     " bytes become ", bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<StoredWeights> Find(TorchFile* file) {
  const PickleValue& root = file->root();
  const PickleValue* ema = root.Find("ema");
  const PickleValue* net = root.Find("net");
  if (ema != nullptr && !TorchFile::IsTensor(*ema)) {
    RETORT_ASSIGN_OR_RETURN(EdmNetwork network, ReadEdmNetwork(file, *ema));
    return StoredWeights{StoredWeights::Form::kEdmSnapshot,
                         std::move(network.state), std::move(network.network)};
  }
  if (net != nullptr && !TorchFile::IsTensor(*net)) {
    RETORT_ASSIGN_OR_RETURN(EdmNetwork network, ReadEdmNetwork(file, *net));
    return StoredWeights{StoredWeights::Form::kEdmTrainingState,
                         std::move(network.state), std::move(network.network)};
  }
  if (!root.Is(PickleKind::kDict)) return NoWeights(root);
  return StateDict(file, root);
}

}  // namespace

absl::StatusOr<StoredWeights> FindWeights(TorchFile* file, int64_t file_bytes) {
  RETORT_ASSIGN_OR_RETURN(StoredWeights weights, Find(file));
  RETORT_RETURN_IF_ERROR(CheckTogether(weights, file_bytes));
  return weights;
}

const char* FormName(StoredWeights::Form form) {
  switch (form) {
    case StoredWeights::Form::kEdmSnapshot:
      return "edm-snapshot";
    case StoredWeights::Form::kEdmTrainingState:
      return "edm-training-state";
    case StoredWeights::Form::kStateDict:
      return "state-dict";
  }
  return "";
}

}  // namespace retort::io
