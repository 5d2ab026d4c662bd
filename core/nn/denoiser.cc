#include "core/nn/denoiser.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/math/edm_precond.h"
#include "core/nn/dhariwal_unet.h"
#include "core/nn/song_unet.h"

namespace retort::nn {
namespace {

constexpr char kAugmentWeight[] = "model.map_augment.weight";

std::shared_ptr<UNet> MakeUNet(const NetworkConfig& config, WeightInit& draw) {
  RETORT_CHECK_OK(config.Validate());
  if (config.model_type == "DhariwalUNet") {
    return std::make_shared<DhariwalUNet>(config, draw);
  }
  return std::make_shared<SongUNet>(config, draw);
}

std::string ShapeText(const at::Tensor& t) {
  return absl::StrCat(
      "[", absl::StrJoin(t.sizes().begin(), t.sizes().end(), ", "), "]");
}

bool EndsWith(const std::string& name, const std::string& end) {
  return name.size() >= end.size() &&
         name.compare(name.size() - end.size(), end.size(), end) == 0;
}

absl::Status CheckTensor(const std::string& name, const at::Tensor& expected,
                         const at::Tensor& actual) {
  if (!actual.defined() || !at::isFloatingType(actual.scalar_type())) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights: tensor ", name, " is not of a floating type"));
  }
  if (actual.sizes() != expected.sizes()) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights: tensor ", name, " has shape ", ShapeText(actual),
                     " but the network needs ", ShapeText(expected),
                     "; is this the right network configuration?"));
  }
  if (EndsWith(name, "resample_filter") &&
      !at::allclose(actual.to(expected.options()), expected, 1e-4, 1e-6)) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights: tensor ", name,
                     " is not the filter that the network's "
                     "configuration names; correct resample_filter"));
  }
  return absl::OkStatus();
}

// The tensors of `from` under the names of `to`, checked. `optional` says which
// names of `to` may be missing.
template <typename Optional>
absl::Status CheckAll(const EdmDenoiser::StateDictMap& to,
                      const EdmDenoiser::StateDictMap& from,
                      const Optional& optional) {
  for (const auto& [name, tensor] : to) {
    const auto it = from.find(name);
    if (it != from.end()) {
      RETORT_RETURN_IF_ERROR(CheckTensor(name, tensor, it->second));
    } else if (!optional(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("weights: tensor ", name, " ", ShapeText(tensor),
                       " is missing; is this the right network "
                       "configuration?"));
    }
  }
  return absl::OkStatus();
}

void CopyAll(const EdmDenoiser::StateDictMap& to,
             const EdmDenoiser::StateDictMap& from) {
  torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : to) {
    const auto it = from.find(name);
    if (it != from.end()) at::Tensor(tensor).copy_(it->second);
  }
}

absl::Status RefuseUnexpected(const EdmDenoiser::StateDictMap& to,
                              const EdmDenoiser::StateDictMap& from,
                              absl::string_view but_for = "") {
  for (const auto& [name, tensor] : from) {
    if (to.count(name) == 0 && name != but_for) {
      return absl::InvalidArgumentError(absl::StrCat(
          "weights: tensor ", name, " ", ShapeText(tensor),
          " is unexpected; is this the right network configuration?"));
    }
  }
  return absl::OkStatus();
}

// Layers of the second time, which a network with one time does not have.
bool IsSecondTime(const std::string& name) {
  return name.find("_s.") != std::string::npos;
}

}  // namespace

EdmDenoiser::EdmDenoiser(const NetworkConfig& config,
                         std::optional<uint64_t> init_seed)
    : config_(config) {
  WeightInit draw(init_seed);
  model_ = register_module("model", MakeUNet(config_, draw));
}

at::ScalarType EdmDenoiser::dtype() const {
  return model_->LastLayerWeight().scalar_type();
}

at::Device EdmDenoiser::device() const {
  return model_->LastLayerWeight().device();
}

const at::Tensor& EdmDenoiser::LastLayerWeight() const {
  return model_->LastLayerWeight();
}

int64_t EdmDenoiser::NumParameters() const {
  int64_t n = 0;
  for (const at::Tensor& p : parameters()) n += p.numel();
  return n;
}

at::Tensor EdmDenoiser::Raw(const at::Tensor& x, const at::Tensor& c_noise,
                            const at::Tensor& labels, const at::Tensor& augment,
                            const at::Tensor& c_noise_s) {
  const at::ScalarType type = dtype();
  UNetInputs in;
  in.c_noise = c_noise;
  if (config_.two_times) in.c_noise_s = c_noise_s;
  if (config_.label_dim > 0) {
    in.labels = labels.defined()
                    ? labels.to(x.device(), type)
                    : at::zeros({1, config_.label_dim}, c_noise.options());
  }
  if (augment.defined()) in.augment = augment.to(x.device(), type);
  const bool mixed = type == at::kFloat && compute_dtype_ != at::kFloat;
  const at::Tensor f = model_->Forward(mixed ? x.to(compute_dtype_) : x, in);
  return f.to(type);
}

at::Tensor EdmDenoiser::Denoise(const at::Tensor& image,
                                const at::Tensor& sigma_in,
                                const at::Tensor& labels,
                                const at::Tensor& augment,
                                const at::Tensor& s) {
  const at::ScalarType type = dtype();
  const at::Tensor x = image.to(type);
  const at::Tensor sigma = sigma_in.to(x.device(), at::kDouble).reshape({-1});
  const math::Scalings c = math::EdmScalings(sigma, config_.sigma_data);
  at::Tensor c_noise_s;
  if (config_.two_times && s.defined()) {
    c_noise_s =
        (s.to(x.device(), at::kDouble).reshape({-1}).log() / 4).to(type);
  }
  const at::Tensor f = Raw(x * math::ExpandLike(c.c_in, x), c.c_noise.to(type),
                           labels, augment, c_noise_s);
  // EDM, Eq. 7.
  return at::addcmul(x * math::ExpandLike(c.c_skip, x), f,
                     math::ExpandLike(c.c_out, x));
}

EdmDenoiser::StateDictMap EdmDenoiser::StateDict() const {
  StateDictMap map;
  for (const auto& item : named_parameters()) {
    map[item.key()] = item.value().detach();
  }
  for (const auto& item : named_buffers()) {
    map[item.key()] = item.value().detach();
  }
  return map;
}

absl::Status EdmDenoiser::LoadStateDict(const StateDictMap& tensors,
                                        bool strict) {
  const StateDictMap own = StateDict();
  RETORT_RETURN_IF_ERROR(
      CheckAll(own, tensors, [&](const std::string&) { return !strict; }));
  if (strict) RETORT_RETURN_IF_ERROR(RefuseUnexpected(own, tensors));
  CopyAll(own, tensors);
  return absl::OkStatus();
}

std::shared_ptr<EdmDenoiser> CreateDenoiser(const NetworkConfig& config,
                                            std::optional<uint64_t> init_seed) {
  return std::make_shared<EdmDenoiser>(config, init_seed);
}

std::shared_ptr<EdmDenoiser> CloneDenoiser(const EdmDenoiser& net) {
  auto copy = CreateDenoiser(net.config(), std::nullopt);
  copy->to(net.device(), net.dtype());
  copy->train(net.is_training());
  copy->set_compute_dtype(net.compute_dtype());
  RETORT_CHECK_OK(copy->LoadStateDict(net.StateDict()));
  const auto to = copy->parameters();
  const auto from = net.parameters();
  for (size_t i = 0; i < to.size(); ++i) {
    to[i].requires_grad_(from[i].requires_grad());
  }
  return copy;
}

absl::Status InitFromTeacher(EdmDenoiser& student, const EdmDenoiser& teacher) {
  const EdmDenoiser::StateDictMap own = student.StateDict();
  const EdmDenoiser::StateDictMap given = teacher.StateDict();
  const bool second_is_new =
      student.config().two_times && !teacher.config().two_times;
  RETORT_RETURN_IF_ERROR(CheckAll(own, given, [&](const std::string& name) {
    return second_is_new && IsSecondTime(name);
  }));
  RETORT_RETURN_IF_ERROR(RefuseUnexpected(own, given, kAugmentWeight));
  CopyAll(own, given);
  return absl::OkStatus();
}

}  // namespace retort::nn
