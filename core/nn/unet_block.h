#ifndef RETORT_CORE_NN_UNET_BLOCK_H_
#define RETORT_CORE_NN_UNET_BLOCK_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>

#include "core/nn/layers.h"
#include "core/nn/unet_plan.h"

namespace retort::nn {

// What all blocks of one network share.
struct UNetBlockStyle {
  int64_t emb_channels = 0;
  double dropout = 0;
  double skip_scale = 1;  // the sum of residual and skip is multiplied by it
  double eps = 1e-5;      // of the normalisations
  std::vector<double> resample_filter = {1, 1};
  bool resample_proj = false;  // resampled skips have a 1x1 convolution
  bool adaptive_scale = true;  // the embedding scales and shifts (ADM), or
                               // is added before the normalisation
  bool two_times = false;      // affine_s, for CTM's second embedding
  LayerInit init;
  LayerInit init_zero;  // of the convolutions that end a branch
  LayerInit init_attention;
};

// A residual block with optional resampling and self-attention, the one block
// of DDPM++, NCSN++ and ADM in EDM's formulation:
//   h = conv0(silu(norm0(x)));  h = modulate(h, emb);  h = conv1(dropout(h))
//   x = (skip(x) + h) skip_scale;  x = (x + attention(norm2(x))) skip_scale
class UNetBlock : public torch::nn::Module {
 public:
  UNetBlock(const LayerPlan& plan, const UNetBlockStyle& style, int64_t heads,
            WeightInit& draw);

  // `emb_s` may be undefined: no second time.
  at::Tensor Forward(const at::Tensor& x, const at::Tensor& emb,
                     const at::Tensor& emb_s) const;

 private:
  at::Tensor Modulate(at::Tensor h, const at::Tensor& emb,
                      const at::Tensor& emb_s) const;
  at::Tensor Attend(const at::Tensor& x) const;

  const double dropout_;
  const double skip_scale_;
  const bool adaptive_scale_;
  const int64_t heads_;  // 0: no attention
  std::shared_ptr<GroupNorm> norm0_, norm1_;
  std::shared_ptr<GroupNorm> norm2_;  // null if heads_ is 0, like qkv_, proj_
  std::shared_ptr<Conv2d> conv0_, conv1_, qkv_, proj_;
  std::shared_ptr<Conv2d> skip_;  // null: the identity
  std::shared_ptr<Linear> affine_;
  std::shared_ptr<Linear> affine_s_;  // null without a second time
};

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_UNET_BLOCK_H_
