#include "core/eval/classifier.h"

#include <torch/nn/init.h>

#include <cmath>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/math/counter_random.h"

namespace retort::eval {
namespace {

constexpr char kModelType[] = "FmnistClassifier";

absl::Status BadConfig(absl::string_view field, absl::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat("classifier.", field, " ", problem));
}

// He et al. 2015: normal of variance 2 / fan_in. `layer` tells the streams of
// two layers apart.
void InitClassifierWeight(const torch::Tensor& weight, double gain,
                          uint64_t seed, int64_t layer) {
  torch::NoGradGuard no_grad;
  const double fan_in = static_cast<double>(weight.numel() / weight.size(0));
  const int64_t indices[] = {layer};
  const at::Tensor normal = math::NormalPerSample(
      math::MakeStream(seed, math::RandomStream::kInit, 0), indices,
      {weight.numel()});
  weight.copy_(normal.view(weight.sizes()) * std::sqrt(gain / fan_in));
}

}  // namespace

absl::Status ClassifierConfig::Validate() const {
  if (channels != 1 && channels != 3)
    return BadConfig("channels", "must be 1 or 3");
  if (classes < 2) return BadConfig("classes", "must be at least 2");
  if (widths.empty() || widths.size() > 8) {
    return BadConfig("widths", "must list 1 to 8 layers");
  }
  for (int64_t width : widths) {
    if (width < 1 || width > 4096) {
      return BadConfig("widths", "must lie between 1 and 4096");
    }
  }
  const int64_t halvings = static_cast<int64_t>(widths.size()) - 1;
  if (resolution < 1 || resolution % (int64_t{1} << halvings) != 0) {
    return BadConfig("resolution", absl::StrCat("must be a multiple of ",
                                                int64_t{1} << halvings, " for ",
                                                widths.size(), " layers"));
  }
  return absl::OkStatus();
}

nlohmann::json ClassifierConfig::ToJson() const {
  return {{"model_type", kModelType},
          {"resolution", resolution},
          {"channels", channels},
          {"classes", classes},
          {"widths", widths}};
}

absl::StatusOr<ClassifierConfig> ClassifierConfig::FromJson(
    const nlohmann::json& json) {
  static const std::set<std::string>* const fields = new std::set<std::string>{
      "model_type", "resolution", "channels", "classes", "widths"};
  if (!json.is_object()) return BadConfig("config", "must be a JSON object");
  for (const auto& item : json.items()) {
    if (fields->count(item.key()) == 0) {
      return BadConfig(item.key(), "is not a known field");
    }
  }
  for (const std::string& field : *fields) {
    if (!json.contains(field)) return BadConfig(field, "is missing");
  }
  if (json["model_type"] != kModelType) {
    return BadConfig("model_type",
                     absl::StrCat("must be \"", kModelType, "\""));
  }
  ClassifierConfig config;
  const std::pair<const char*, int64_t*> integers[] = {
      {"resolution", &config.resolution},
      {"channels", &config.channels},
      {"classes", &config.classes}};
  for (const auto& [field, value] : integers) {
    if (!json[field].is_number_integer()) {
      return BadConfig(field, "must be an integer");
    }
    *value = json[field].get<int64_t>();
  }
  if (!json["widths"].is_array()) return BadConfig("widths", "must be a list");
  config.widths.clear();
  for (const nlohmann::json& width : json["widths"]) {
    if (!width.is_number_integer())
      return BadConfig("widths", "must be integers");
    config.widths.push_back(width.get<int64_t>());
  }
  const absl::Status valid = config.Validate();
  if (!valid.ok()) return valid;
  return config;
}

FmnistClassifierImpl::FmnistClassifierImpl(ClassifierConfig config,
                                           uint64_t init_seed)
    : config_(std::move(config)) {
  RETORT_CHECK(config_.Validate().ok());
  int64_t in = config_.channels;
  for (size_t i = 0; i < config_.widths.size(); ++i) {
    const int64_t out = config_.widths[i];
    convs_.push_back(register_module(
        absl::StrCat("conv", i),
        torch::nn::Conv2d(
            torch::nn::Conv2dOptions(in, out, 3).padding(1).bias(false))));
    norms_.push_back(
        register_module(absl::StrCat("norm", i), torch::nn::BatchNorm2d(out)));
    InitClassifierWeight(convs_.back()->weight, 2.0, init_seed,
                         static_cast<int64_t>(i));
    in = out;
  }
  head_ = register_module("head", torch::nn::Linear(in, config_.classes));
  InitClassifierWeight(head_->weight, 1.0, init_seed,
                       static_cast<int64_t>(config_.widths.size()));
  torch::nn::init::zeros_(head_->bias);
}

torch::Tensor FmnistClassifierImpl::Features(const torch::Tensor& images) {
  torch::Tensor x = images;
  for (size_t i = 0; i < convs_.size(); ++i) {
    // Pooling before ReLU gives the same values for a quarter of the work.
    x = norms_[i](convs_[i](x));
    if (i + 1 < convs_.size()) x = torch::max_pool2d(x, 2);
    x = torch::relu(x);
  }
  return x.mean({2, 3});
}

std::map<std::string, at::Tensor> FmnistClassifierImpl::StateDict() const {
  std::map<std::string, at::Tensor> state;
  for (const auto& item : named_parameters()) {
    state[item.key()] = item.value().detach();
  }
  for (const auto& item : named_buffers()) state[item.key()] = item.value();
  return state;
}

torch::Tensor FmnistClassifierImpl::Logits(const torch::Tensor& features) {
  return head_(features);
}

torch::Tensor FmnistClassifierImpl::forward(const torch::Tensor& images) {
  return Logits(Features(images));
}

}  // namespace retort::eval
