// Golden cases of imported checkpoints: edm_pickle_*, and edm_pickle_bad,
// whose files must be refused.

#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/io/edm_module.h"
#include "core/io/import_weights.h"
#include "core/io/mapped_file.h"
#include "core/io/plain_data.h"
#include "core/io/torch_file.h"
#include "core/parity/network_support.h"

namespace retort::parity {
namespace {

using Json = nlohmann::json;

// A file that wants more is not bounded.
constexpr int64_t kMaxRefusalKilobytes = 512 << 10;

std::string PathOf(const CaseContext& c, const std::string& file) {
  return absl::StrCat(c.dir(), "/", file);
}

// Equal to the bit, and nothing missing or left over.
void CompareExactly(CaseContext& c, const std::string& file,
                    const TensorMap& actual, const TensorMap& expected) {
  c.Expect(absl::StrCat(file, ": names of tensors"),
           actual.size() == expected.size());
  double worst = 0;
  bool exact = true;
  for (const auto& [name, tensor] : expected) {
    const auto found = actual.find(name);
    if (found == actual.end()) {
      c.Fail(absl::StrCat(file, ": ", name, " is missing"));
      return;
    }
    const at::Tensor wide = tensor.to(at::kFloat);  // float16 is exact
    exact = exact && found->second.sizes() == wide.sizes() &&
            at::equal(found->second.to(at::kFloat), wide);
    if (found->second.sizes() == wide.sizes() && wide.numel() > 0) {
      worst = std::max(
          worst,
          (found->second.to(at::kDouble) - wide).abs().max().item<double>());
    }
  }
  c.CompareScalar(absl::StrCat(file, ": all tensors"), worst, 0, Tolerance());
  c.Expect(absl::StrCat(file, ": bit exact"), exact);
}

// What the case says of an object, key by key.
void ExpectFields(CaseContext& c, const std::string& what, const Json& actual,
                  const Json& expected) {
  for (const auto& [key, value] : expected.items()) {
    const Json found = actual.value(key, Json());
    const bool infinite = value == "inf" && found.is_number_float() &&
                          std::isinf(found.get<double>());
    c.Expect(absl::StrCat(what, ".", key), infinite || found == value);
  }
}

absl::Status ExpectArguments(CaseContext& c, const io::PickleValue& root,
                             const char* entry, const char* expected) {
  const io::PickleValue* value = root.Find(entry);
  if (!c.json().contains(expected) || value == nullptr) {
    return absl::OkStatus();
  }
  RETORT_ASSIGN_OR_RETURN(const io::EdmObject object,
                          io::ReadEdmObject(*value));
  RETORT_ASSIGN_OR_RETURN(
      const Json arguments,
      io::ConstructorArguments(
          object, {"img_resolution", "img_channels", "label_dim", "use_fp16",
                   "sigma_min", "sigma_max", "sigma_data", "model_type"}));
  c.Expect(absl::StrCat(expected, " and no others"),
           arguments.size() == c.json()[expected].size());
  ExpectFields(c, expected, arguments, c.json()[expected]);
  return absl::OkStatus();
}

// What a snapshot says beside its weights.
absl::Status CompareSettings(CaseContext& c, const std::string& file) {
  RETORT_ASSIGN_OR_RETURN(const auto mapped,
                          io::MappedFile::Open(PathOf(c, file)));
  RETORT_ASSIGN_OR_RETURN(const auto parsed,
                          io::TorchFile::Parse(mapped->bytes()));
  const io::PickleValue& root = parsed->root();
  RETORT_RETURN_IF_ERROR(
      ExpectArguments(c, root, "ema", "expected_init_kwargs"));
  RETORT_RETURN_IF_ERROR(
      ExpectArguments(c, root, "augment_pipe", "expected_augment_init_kwargs"));
  if (const auto* data = root.Find("dataset_kwargs"); data != nullptr) {
    RETORT_ASSIGN_OR_RETURN(const Json settings, io::PlainData(*data));
    ExpectFields(c, "dataset_kwargs", settings,
                 c.json().value("expected_dataset_kwargs", Json::object()));
  }
  RETORT_ASSIGN_OR_RETURN(const io::EdmObject ema,
                          io::ReadEdmObject(*root.Find("ema")));
  const Json defaults = c.json().value("expected_defaults", Json::object());
  for (const auto& [key, expected] : defaults.items()) {
    const io::PickleValue* value = ema.state->Find(key);
    Json actual;
    if (value != nullptr) {
      RETORT_ASSIGN_OR_RETURN(actual, io::PlainData(*value));
    }
    ExpectFields(c, "ema", {{key, actual}}, {{key, expected}});
  }
  return absl::OkStatus();
}

absl::Status CompareDenoiser(CaseContext& c,
                             const io::ImportedWeights& weights) {
  torch::NoGradGuard no_grad;
  RETORT_ASSIGN_OR_RETURN(const nn::NetworkConfig config,
                          nn::NetworkConfig::FromJson(weights.network));
  const auto net = nn::CreateDenoiser(config, std::nullopt);
  RETORT_RETURN_IF_ERROR(net->LoadStateDict(weights.tensors));
  net->eval();
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const Tolerance tolerance, c.ToleranceOf("D_f32"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor x, c.Get(io, "x"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor sigma, c.Get(io, "sigma"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor expected, c.Get(io, "D_f32"));
  const auto labels = io.find("class_labels");
  const auto augment = io.find("augment_labels");
  c.Compare("D_f32",
            net->Denoise(x, sigma.to(at::kDouble),
                         labels == io.end() ? at::Tensor() : labels->second,
                         augment == io.end() ? at::Tensor() : augment->second),
            expected, tolerance);
  return absl::OkStatus();
}

// Some of the moments are recorded, and which parameters there are.
void CompareSlots(CaseContext& c, const io::AdamState& adam,
                  const TensorMap& expected) {
  TensorMap actual;
  for (const io::AdamSlot& slot : adam.slots) {
    actual[slot.parameter + ".exp_avg"] = io::ToTorch(slot.exp_avg);
    actual[slot.parameter + ".exp_avg_sq"] = io::ToTorch(slot.exp_avg_sq);
    actual[slot.parameter + ".step"] =
        at::scalar_tensor(slot.step, at::TensorOptions(at::kFloat));
  }
  TensorMap recorded;
  for (const auto& [name, tensor] : expected) {
    const auto found = actual.find(name);
    if (found != actual.end()) recorded[name] = found->second;
  }
  CompareExactly(c, "optimizer_state", recorded, expected);
}

absl::Status CompareTrainingState(CaseContext& c, const std::string& file) {
  RETORT_ASSIGN_OR_RETURN(const auto mapped,
                          io::MappedFile::Open(PathOf(c, file)));
  RETORT_ASSIGN_OR_RETURN(const auto parsed,
                          io::TorchFile::Parse(mapped->bytes()));
  const io::PickleValue* net = parsed->root().Find("net");
  const io::PickleValue* state = parsed->root().Find("optimizer_state");
  if (net == nullptr || state == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(file, " is no such state"));
  }
  RETORT_ASSIGN_OR_RETURN(const io::EdmNetwork network,
                          io::ReadEdmNetwork(parsed.get(), *net));
  RETORT_ASSIGN_OR_RETURN(
      const io::AdamState adam,
      io::ReadAdamState(parsed.get(), *state, network.parameters));
  const Json expected = c.json().value("expected_optimizer", Json::object());
  c.Expect("param_order", network.parameters == expected["param_order"]);
  std::set<std::string> without(network.parameters.begin(),
                                network.parameters.end());
  for (const io::AdamSlot& slot : adam.slots) without.erase(slot.parameter);
  const std::set<std::string> expected_without =
      expected["params_without_state"];
  c.Expect("params_without_state", without == expected_without);
  const Json groups = expected["param_groups"];
  c.Expect("number of param_groups", adam.groups.size() == groups.size());
  for (size_t i = 0; i < std::min(adam.groups.size(), groups.size()); ++i) {
    ExpectFields(c, "param_groups", adam.groups[i], groups[i]);
  }
  RETORT_ASSIGN_OR_RETURN(const TensorMap moments,
                          c.Load("expected_optimizer.safetensors"));
  CompareSlots(c, adam, moments);
  return absl::OkStatus();
}

absl::Status RunEdmPickle(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap ema,
                          c.Load("expected_ema.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                          base::ListDir(c.dir()));
  for (const std::string& file : files) {
    if (!absl::EndsWith(file, ".pkl") && !absl::EndsWith(file, ".pt")) continue;
    RETORT_ASSIGN_OR_RETURN(const io::ImportedWeights weights,
                            io::ImportWeights(PathOf(c, file)));
    if (weights.form != "edm-snapshot") {
      // Training states and plain state dicts hold the network that trains.
      RETORT_ASSIGN_OR_RETURN(const TensorMap net,
                              c.Load("expected_training_net.safetensors"));
      CompareExactly(c, file, weights.tensors, net);
      if (weights.form == "edm-training-state") {
        RETORT_RETURN_IF_ERROR(CompareTrainingState(c, file));
      }
      continue;
    }
    CompareExactly(c, file, weights.tensors, ema);
    RETORT_RETURN_IF_ERROR(CompareSettings(c, file));
    RETORT_RETURN_IF_ERROR(CompareDenoiser(c, weights));
  }
  return absl::OkStatus();
}
RETORT_PARITY_CASE("edm_pickle", RunEdmPickle);

int64_t PeakKilobytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

absl::Status RunEdmPickleBad(CaseContext& c) {
  const Json files = c.json().value("files_expected", Json::object());
  const int64_t before = PeakKilobytes();
  for (const auto& [file, says] : files.items()) {
    const auto weights = io::ImportWeights(PathOf(c, file));
    const bool may_import =
        absl::StrContains(says.value("expect", "reject"), "or import");
    c.Expect(
        absl::StrCat(file, ": ",
                     weights.ok() ? std::string("imported")
                                  : std::string(weights.status().message())),
        absl::IsInvalidArgument(weights.status()) ||
            (weights.ok() && may_import));
  }
  c.Expect("memory stays bounded",
           PeakKilobytes() - before < kMaxRefusalKilobytes);
  c.Expect("nothing of a file was run",
           !base::FileExists("/tmp/pwned") && !base::FileExists("/tmp/pwned2"));
  return absl::OkStatus();
}
RETORT_PARITY_CASE("edm_pickle_bad", RunEdmPickleBad);

}  // namespace
}  // namespace retort::parity
