#ifndef RETORT_TESTS_CORE_DISTILL_TINY_MODELS_H_
#define RETORT_TESTS_CORE_DISTILL_TINY_MODELS_H_

#include <torch/utils.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/math/jump.h"
#include "core/nn/consistency_model.h"
#include "core/nn/denoiser.h"

namespace retort::testing {

// A network of a few thousand parameters on one-channel 8x8 images, without
// dropout.
inline nn::NetworkConfig TinyConfig(bool two_times = false,
                                    int64_t label_dim = 0) {
  nn::NetworkConfig config;
  config.img_resolution = 8;
  config.img_channels = 1;
  config.label_dim = label_dim;
  config.model_channels = 8;
  config.channel_mult = {1};
  config.num_blocks = 1;
  config.attn_resolutions = {};
  config.dropout = 0;
  config.two_times = two_times;
  return config;
}

// A tiny network all of whose weights are random: EDM starts output layers at
// zero, which would hide mistakes.
inline std::shared_ptr<nn::EdmDenoiser> TinyNet(uint64_t seed,
                                                bool two_times = false,
                                                int64_t label_dim = 0) {
  auto net = nn::CreateDenoiser(TinyConfig(two_times, label_dim), seed);
  torch::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed + 1000);
  for (at::Tensor& p : net->parameters()) {
    p.add_(0.05 * at::randn(p.sizes(), generator));
  }
  net->eval();
  return net;
}

// Random "images" in [-1, 1].
inline at::Tensor TinyImages(int64_t n, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::rand({n, 1, 8, 8}, generator) * 2 - 1;
}

inline nn::ConsistencyModel CtmModel(std::shared_ptr<nn::EdmDenoiser> net) {
  return nn::ConsistencyModel(std::move(net),
                              std::make_shared<math::CtmJump>());
}

inline std::vector<int64_t> Range(int64_t n) {
  std::vector<int64_t> range(n);
  for (int64_t i = 0; i < n; ++i) range[i] = i;
  return range;
}

}  // namespace retort::testing

#endif  // RETORT_TESTS_CORE_DISTILL_TINY_MODELS_H_
