#include "core/parity/network_support.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace retort::parity {
namespace {

// CTM's short names for EDM's three families.
absl::Status ApplyArch(const std::string& arch, nlohmann::json* json) {
  if (arch == "adm") {
    (*json)["model_type"] = "DhariwalUNet";
    return absl::OkStatus();
  }
  if (arch != "ddpmpp" && arch != "ncsnpp") {
    return absl::InvalidArgumentError(absl::StrCat(
        "config.arch is \"", arch, "\"; known are adm, ddpmpp and ncsnpp"));
  }
  const bool ncsnpp = arch == "ncsnpp";
  (*json)["model_type"] = "SongUNet";
  (*json)["embedding_type"] = ncsnpp ? "fourier" : "positional";
  (*json)["encoder_type"] = ncsnpp ? "residual" : "standard";
  (*json)["channel_mult_noise"] = ncsnpp ? 2 : 1;
  (*json)["resample_filter"] =
      ncsnpp ? std::vector<double>{1, 3, 3, 1} : std::vector<double>{1, 1};
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<nn::NetworkConfig> CaseNetworkConfig(
    const nlohmann::json& config) {
  nlohmann::json json = nlohmann::json::object();
  if (config.contains("arch")) {
    RETORT_RETURN_IF_ERROR(ApplyArch(config["arch"].get<std::string>(), &json));
  }
  // Cases of losses keep the network's sizes in "tiny" and the rest beside it.
  const nlohmann::json fields = nn::NetworkConfig().ToJson();
  for (const nlohmann::json& source :
       {config, config.value("tiny", nlohmann::json::object())}) {
    for (const auto& [key, value] : source.items()) {
      if (fields.contains(key)) json[key] = value;
    }
  }
  if (config.value("cls", "") == "EDMPrecond_CTM") json["two_times"] = true;
  return nn::NetworkConfig::FromJson(json);
}

absl::StatusOr<std::shared_ptr<nn::EdmDenoiser>> LoadCaseNetwork(
    CaseContext& context, const nn::NetworkConfig& config,
    const std::string& file, at::ScalarType dtype,
    const std::string& key_prefix) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap stored, context.Load(file));
  TensorMap weights;
  for (const auto& [name, tensor] : stored) {
    if (absl::StartsWith(name, key_prefix)) {
      weights[name.substr(key_prefix.size())] = tensor;
    }
  }
  auto net = nn::CreateDenoiser(config, std::nullopt);
  RETORT_RETURN_IF_ERROR(net->LoadStateDict(weights));
  net->to(dtype);
  net->eval();
  return net;
}

at::Tensor OneHot(const at::Tensor& classes, int64_t label_dim,
                  at::ScalarType dtype) {
  return at::one_hot(classes.to(at::kLong), label_dim).to(dtype);
}

}  // namespace retort::parity
