#include "core/nn/unet_block.h"

#include <cmath>

namespace retort::nn {
namespace {

// softmax(q' k / sqrt(c)) applied to v; all [batch, c, positions]. Half types
// take the softmax in float32.
at::Tensor Attention(const at::Tensor& q, const at::Tensor& k,
                     const at::Tensor& v) {
  const double scale = 1 / std::sqrt(static_cast<double>(k.size(1)));
  const at::ScalarType type = q.scalar_type();
  const bool half = type == at::kHalf || type == at::kBFloat16;
  const at::ScalarType inner = half ? at::kFloat : type;
  const at::Tensor logits =
      at::bmm(q.transpose(1, 2).to(inner), (k * scale).to(inner));
  const at::Tensor w = at::softmax(logits, -1).to(type);
  return at::bmm(v, w.transpose(1, 2));
}

}  // namespace

UNetBlock::UNetBlock(const LayerPlan& plan, const UNetBlockStyle& style,
                     int64_t heads, WeightInit& draw)
    : dropout_(style.dropout),
      skip_scale_(style.skip_scale),
      adaptive_scale_(style.adaptive_scale),
      heads_(plan.attention ? heads : 0) {
  Conv2dOptions conv{plan.in, plan.out,  3,
                     plan.up, plan.down, style.resample_filter};
  const int64_t affine = plan.out * (adaptive_scale_ ? 2 : 1);
  const auto linear = [&] {
    return std::make_shared<Linear>(style.emb_channels, affine, style.init,
                                    draw);
  };
  const auto plain = [&](int64_t out, int64_t kernel, const LayerInit& init) {
    return std::make_shared<Conv2d>(Conv2dOptions{plan.out, out, kernel}, init,
                                    draw);
  };
  norm0_ =
      register_module("norm0", std::make_shared<GroupNorm>(plan.in, style.eps));
  conv0_ = register_module("conv0",
                           std::make_shared<Conv2d>(conv, style.init, draw));
  affine_ = register_module("affine", linear());
  if (style.two_times) affine_s_ = register_module("affine_s", linear());
  norm1_ = register_module("norm1",
                           std::make_shared<GroupNorm>(plan.out, style.eps));
  conv1_ = register_module("conv1", plain(plan.out, 3, style.init_zero));
  if (plan.in != plan.out || plan.up || plan.down) {
    conv.kernel = style.resample_proj || plan.in != plan.out ? 1 : 0;
    skip_ = register_module("skip",
                            std::make_shared<Conv2d>(conv, style.init, draw));
  }
  if (heads_ > 0) {
    norm2_ = register_module("norm2",
                             std::make_shared<GroupNorm>(plan.out, style.eps));
    qkv_ = register_module("qkv", plain(3 * plan.out, 1, style.init_attention));
    proj_ = register_module("proj", plain(plan.out, 1, style.init_zero));
  }
}

at::Tensor UNetBlock::Modulate(at::Tensor h, const at::Tensor& emb,
                               const at::Tensor& emb_s) const {
  at::Tensor params = affine_->Forward(emb);
  if (affine_s_ && emb_s.defined()) params = params + affine_s_->Forward(emb_s);
  params = params.unsqueeze(2).unsqueeze(3).to(h.scalar_type());
  if (!adaptive_scale_) return Silu(norm1_->Forward(h.add_(params)));
  const auto parts = params.chunk(2, 1);
  return Silu(at::addcmul(parts[1], norm1_->Forward(h), parts[0] + 1));
}

at::Tensor UNetBlock::Attend(const at::Tensor& x) const {
  // Channels are heads x (channels of a head) x (q, k, v).
  const auto qkv = qkv_->Forward(norm2_->Forward(x))
                       .reshape({x.size(0) * heads_, x.size(1) / heads_, 3, -1})
                       .unbind(2);
  return proj_->Forward(Attention(qkv[0], qkv[1], qkv[2]).reshape(x.sizes()));
}

at::Tensor UNetBlock::Forward(const at::Tensor& x, const at::Tensor& emb,
                              const at::Tensor& emb_s) const {
  // In place where the operand is a fresh result that no gradient needs.
  at::Tensor h = conv0_->Forward(Silu(norm0_->Forward(x)));
  h = Modulate(std::move(h), emb, emb_s);
  if (dropout_ > 0 && is_training()) h = at::dropout(h, dropout_, true);
  h = conv1_->Forward(h).add_(skip_ ? skip_->Forward(x) : x);
  if (skip_scale_ != 1) h.mul_(skip_scale_);
  if (heads_ == 0) return h;
  at::Tensor y = Attend(h).add_(h);
  if (skip_scale_ != 1) y.mul_(skip_scale_);
  return y;
}

}  // namespace retort::nn
