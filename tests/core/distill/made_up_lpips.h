#ifndef RETORT_TESTS_CORE_DISTILL_MADE_UP_LPIPS_H_
#define RETORT_TESTS_CORE_DISTILL_MADE_UP_LPIPS_H_

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <map>
#include <string>

#include "core/distill/lpips.h"
#include "core/nn/backbone.h"

// Weights of LPIPS for tests: no trained ones, so the distances are not
// perceptual, but they are distances.
namespace retort::testing {

using LpipsTensors = std::map<std::string, at::Tensor>;

// Convolutions that keep the variance of what passes through them.
inline LpipsTensors MadeUpBackbone(const std::string& name, uint64_t seed = 1) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  LpipsTensors tensors;
  for (const auto& [key, shape] :
       nn::BackboneShapes(nn::NamedBackbone(name).value())) {
    const at::Tensor normal = at::randn(shape, generator);
    if (shape.size() == 1) {
      tensors[key] = normal * 0.1;
      continue;
    }
    const double fan_in = static_cast<double>(shape[1] * shape[2] * shape[3]);
    tensors[key] = normal * std::sqrt(2 / fan_in);
  }
  return tensors;
}

// Weights that are not negative, as the trained ones.
inline LpipsTensors MadeUpHeads(const std::string& backbone,
                                uint64_t seed = 2) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  LpipsTensors tensors;
  for (const auto& [key, shape] :
       nn::HeadShapes(nn::NamedBackbone(backbone).value())) {
    tensors[key] = at::rand(shape, generator);
  }
  return tensors;
}

inline std::shared_ptr<const distill::Lpips> MadeUpLpips(
    const distill::LpipsOptions& options) {
  return distill::Lpips::Create(options, MadeUpBackbone(options.backbone),
                                MadeUpHeads(options.backbone))
      .value();
}

}  // namespace retort::testing

#endif  // RETORT_TESTS_CORE_DISTILL_MADE_UP_LPIPS_H_
