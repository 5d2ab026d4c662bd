#ifndef RETORT_TESTS_CORE_NN_SMALL_NETWORKS_H_
#define RETORT_TESTS_CORE_NN_SMALL_NETWORKS_H_

#include <torch/utils.h>

#include "core/nn/denoiser.h"

namespace retort::nn {

// The smallest networks that still have every kind of layer.
inline NetworkConfig SmallSong() {
  NetworkConfig c;
  c.img_resolution = 8;
  c.img_channels = 2;
  c.model_channels = 8;
  c.channel_mult = {1, 2};
  c.num_blocks = 1;
  c.attn_resolutions = {4};
  c.dropout = 0;
  return c;
}

inline NetworkConfig SmallAdm() {
  NetworkConfig c = NetworkConfig::Defaults("DhariwalUNet");
  c.img_resolution = 8;
  c.img_channels = 2;
  c.model_channels = 32;
  c.channel_mult = {1, 2};
  c.num_blocks = 1;
  c.attn_resolutions = {4};
  c.dropout = 0;
  return c;
}

// Moves all parameters away from their initial values, so that branches that
// start at zero take part.
inline void Perturb(EdmDenoiser& net) {
  torch::NoGradGuard no_grad;
  torch::manual_seed(3);
  for (at::Tensor& p : net.parameters()) p.add_(at::randn_like(p), 0.05);
}

}  // namespace retort::nn

#endif  // RETORT_TESTS_CORE_NN_SMALL_NETWORKS_H_
