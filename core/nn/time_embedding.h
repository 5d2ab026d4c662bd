#ifndef RETORT_CORE_NN_TIME_EMBEDDING_H_
#define RETORT_CORE_NN_TIME_EMBEDDING_H_

#include <torch/nn/module.h>

#include <cstdint>

#include "core/nn/weight_init.h"

// Embeddings of a time (c_noise, [n]) by sines and cosines of several
// frequencies, [n, channels].
namespace retort::nn {

// SongUNet wants the sines first, DhariwalUNet the cosines.
enum class SinusoidOrder { kCosineFirst, kSineFirst };

class TimeEmbedding : public torch::nn::Module {
 public:
  virtual at::Tensor Forward(const at::Tensor& c_noise) const = 0;
};

// Fixed frequencies from 1 down to 1/10000, geometrically spaced (DDPM++,
// ADM). Computed in float32 whatever c_noise is, as trained weights expect.
class PositionalEmbedding : public TimeEmbedding {
 public:
  // `endpoint`: the last frequency is 1/10000 itself, not the one before it.
  PositionalEmbedding(int64_t channels, bool endpoint, SinusoidOrder order)
      : channels_(channels), endpoint_(endpoint), order_(order) {}

  at::Tensor Forward(const at::Tensor& c_noise) const override;

 private:
  const int64_t channels_;
  const bool endpoint_;
  const SinusoidOrder order_;
};

// Random frequencies, kept in the buffer `freqs` (NCSN++).
class FourierEmbedding : public TimeEmbedding {
 public:
  FourierEmbedding(int64_t channels, SinusoidOrder order, WeightInit& draw);

  at::Tensor Forward(const at::Tensor& c_noise) const override;

 private:
  const SinusoidOrder order_;
  at::Tensor freqs_;
};

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_TIME_EMBEDDING_H_
