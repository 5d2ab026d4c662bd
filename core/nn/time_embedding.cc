#include "core/nn/time_embedding.h"

#include <cmath>

namespace retort::nn {
namespace {

at::Tensor Sinusoids(const at::Tensor& c_noise, const at::Tensor& freqs,
                     SinusoidOrder order) {
  const at::Tensor phase = at::outer(c_noise, freqs.to(c_noise.scalar_type()));
  return order == SinusoidOrder::kSineFirst
             ? at::cat({phase.sin(), phase.cos()}, 1)
             : at::cat({phase.cos(), phase.sin()}, 1);
}

}  // namespace

at::Tensor PositionalEmbedding::Forward(const at::Tensor& c_noise) const {
  const int64_t half = channels_ / 2;
  const at::Tensor exponent =
      at::arange(half, c_noise.options().dtype(at::kFloat)) /
      static_cast<double>(half - (endpoint_ ? 1 : 0));
  return Sinusoids(c_noise, at::pow(at::Scalar(1e-4), exponent), order_);
}

FourierEmbedding::FourierEmbedding(int64_t channels, SinusoidOrder order,
                                   WeightInit& draw)
    : order_(order) {
  freqs_ = register_buffer("freqs", draw.Normal({channels / 2}, 16));
}

at::Tensor FourierEmbedding::Forward(const at::Tensor& c_noise) const {
  return Sinusoids(c_noise, 2 * M_PI * freqs_, order_);
}

}  // namespace retort::nn
