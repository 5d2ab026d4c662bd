#include "core/parity/lpips_support.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace retort::parity {
namespace {

using nlohmann::json;

// A pseudo-random number in [-1, 1) of element n of a tensor with salt s, by
// the formula of the case's notes.
double MadeUp(uint32_t n, uint32_t s) {
  uint32_t h = n * 2654435761u + s * 40503u + 12345u;
  h ^= h >> 16;
  h *= 2246822519u;
  h ^= h >> 13;
  h *= 3266489917u;
  h ^= h >> 16;
  return 2 * (h / 4294967296.0) - 1;
}

at::Tensor MadeUpTensor(const std::vector<int64_t>& shape, uint32_t salt,
                        double scale) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* values = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    values[i] =
        static_cast<float>(MadeUp(static_cast<uint32_t>(i), salt) * scale);
  }
  return tensor;
}

// From piq's names ("5"), lpips' ("slice2.5", "slice2.3.squeeze") and
// torchvision's to torchvision's.
std::string TorchvisionName(const std::string& name) {
  std::string rest = name;
  if (absl::StartsWith(rest, "net.")) rest = rest.substr(4);
  if (absl::StartsWith(rest, "slice")) rest = rest.substr(rest.find('.') + 1);
  return absl::StartsWith(rest, "features.") ? rest
                                             : absl::StrCat("features.", rest);
}

TensorMap MadeUpBackbone(const json& convolutions) {
  TensorMap tensors;
  for (const json& c : convolutions) {
    const auto shape = c.at("weight").get<std::vector<int64_t>>();
    const double fan_in = static_cast<double>(shape[1] * shape[2] * shape[3]);
    const std::string name = TorchvisionName(c.at("name"));
    tensors[name + ".weight"] =
        MadeUpTensor(shape, c.at("salt_weight"), std::sqrt(6 / fan_in));
    tensors[name + ".bias"] =
        MadeUpTensor({shape[0]}, c.at("salt_bias"), /*scale=*/0.1);
  }
  return tensors;
}

absl::StatusOr<TensorMap> CaseBackbone(CaseContext& c) {
  for (const char* file : {"backbone_f16.safetensors", "backbone.safetensors",
                           "backbone_f32.safetensors"}) {
    if (!c.Has(file)) continue;
    RETORT_ASSIGN_OR_RETURN(const TensorMap stored, c.Load(file));
    TensorMap tensors;
    for (const auto& [name, tensor] : stored) {
      tensors[TorchvisionName(name)] = tensor;
    }
    return tensors;
  }
  const json convolutions = c.config().value("convolutions", json::array());
  if (convolutions.empty()) {
    return absl::NotFoundError(
        "there is no file backbone*.safetensors and no config.convolutions");
  }
  return MadeUpBackbone(convolutions);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const distill::Lpips>> CaseLpips(
    CaseContext& c, distill::LpipsOptions options) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap heads, c.Load("heads.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const TensorMap backbone, CaseBackbone(c));
  return distill::Lpips::Create(options, backbone, heads);
}

}  // namespace retort::parity
