#ifndef RETORT_CORE_DISTILL_DISCRIMINATOR_H_
#define RETORT_CORE_DISTILL_DISCRIMINATOR_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/nn/layers.h"

namespace retort::distill {

struct DiscriminatorConfig {
  int64_t resolution = 32;  // of its square images
  int64_t img_channels = 3;
  int64_t label_dim = 0;  // classes; 0: it knows none
  int64_t channels = 32;  // of the first layer
};

// Tells a data set's images from a student's: one number an image, positive for
// a real one.
//
//   3x3 convolution to `channels`; then, while the side is even and above 4:
//   leaky ReLU (0.2), mean over 2x2 pixels, 3x3 convolution to twice the
//   channels (at most 8 times the first layer's); leaky ReLU, sum over the
//   pixels divided by their root: phi(x). D(x, y) = w'phi + b + phi'(V y) with
//   one-hot labels y: the projection of Miyato and Koyama 2018 (1802.05637).
//
// Plain layers: no spectral norm, whose power iteration would be a state beside
// the weights, and no normalisation over a batch, which R1 does not allow (its
// gradient is an image's own). R1 (gan_loss.h) keeps it smooth instead.
//
// Weights are a pure function of (config, seed). Everything is float32,
// whatever the student computes in, and twice differentiable. Not part of any
// model.
class Discriminator : public torch::nn::Module {
 public:
  Discriminator(const DiscriminatorConfig& config, uint64_t seed);

  // Returns [n] for images [n, c, h, w] of any floating dtype, which are cast
  // to the parameters', and one-hot labels [n, label_dim] (ignored without
  // classes).
  at::Tensor Forward(const at::Tensor& images, const at::Tensor& labels) const;

  const DiscriminatorConfig& config() const { return config_; }

 private:
  const DiscriminatorConfig config_;
  std::vector<std::shared_ptr<nn::Conv2d>> layers_;
  std::shared_ptr<nn::Linear> output_;
  std::shared_ptr<nn::Linear> classes_;  // null without classes
};

// Numbers that are trained, and numbers that a forward pass over one image
// keeps for the backward pass, from the plan alone.
int64_t CountParameters(const DiscriminatorConfig& config);
int64_t CountActivations(const DiscriminatorConfig& config);

}  // namespace retort::distill

#endif  // RETORT_CORE_DISTILL_DISCRIMINATOR_H_
