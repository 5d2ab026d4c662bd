#ifndef RETORT_CORE_NN_LAYERS_H_
#define RETORT_CORE_NN_LAYERS_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <vector>

#include "core/nn/weight_init.h"

// The three layers EDM's networks are made of. Each casts its parameters to the
// input's dtype, so a float32 network also runs in half precision. Children
// `weight`, `bias`, `resample_filter` are named as in EDM's code.
namespace retort::nn {

// silu(x); overwrites x, a temporary of the caller's, where autograd does not
// need it.
at::Tensor Silu(at::Tensor x);

class Linear : public torch::nn::Module {
 public:
  Linear(int64_t in, int64_t out, const LayerInit& init, WeightInit& draw,
         bool bias = true);

  at::Tensor Forward(const at::Tensor& x) const;
  int64_t in_features() const { return weight_.size(1); }

 private:
  at::Tensor weight_;
  at::Tensor bias_;  // may be undefined
};

struct Conv2dOptions {
  int64_t in = 0;
  int64_t out = 0;
  int64_t kernel = 3;  // odd; 0: only resample
  bool up = false;     // doubles the resolution before the convolution
  bool down = false;   // halves it
  std::vector<double> resample_filter = {1, 1};  // separable; its outer product
  // Downsampling after the convolution, of which the padding then covers both.
  bool fused_resample = false;
};

class Conv2d : public torch::nn::Module {
 public:
  Conv2d(const Conv2dOptions& options, const LayerInit& init, WeightInit& draw);

  at::Tensor Forward(const at::Tensor& x) const;
  const at::Tensor& weight() const { return weight_; }

 private:
  at::Tensor Convolve(const at::Tensor& x, int64_t padding) const;
  // The filter on each channel by itself, at stride 2.
  at::Tensor Down(const at::Tensor& x, int64_t padding) const;
  at::Tensor Up(const at::Tensor& x) const;

  const Conv2dOptions options_;
  // The filter is {1, 1}: its two directions are a mean over 2x2 pixels and a
  // repetition of pixels, for which there are faster kernels.
  const bool box_;
  at::Tensor weight_;           // undefined if kernel is 0
  at::Tensor bias_;             // undefined if kernel is 0
  at::Tensor resample_filter_;  // [1, 1, k, k]; undefined without resampling
};

class GroupNorm : public torch::nn::Module {
 public:
  GroupNorm(int64_t channels, double eps);

  at::Tensor Forward(const at::Tensor& x) const;

 private:
  const double eps_;
  at::Tensor weight_;
  at::Tensor bias_;
};

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_LAYERS_H_
