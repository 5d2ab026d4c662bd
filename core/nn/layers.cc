#include "core/nn/layers.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/nn/unet_plan.h"

namespace retort::nn {
namespace {

at::Tensor Cast(const at::Tensor& parameter, const at::Tensor& like) {
  return parameter.defined() ? parameter.to(like.scalar_type()) : parameter;
}

bool IsBox(const std::vector<double>& filter) {
  return filter.size() == 2 && filter[0] == filter[1] && filter[0] != 0;
}

}  // namespace

at::Tensor Silu(at::Tensor x) {
  return at::GradMode::is_enabled() ? at::silu(x) : at::silu_(x);
}

Linear::Linear(int64_t in, int64_t out, const LayerInit& init, WeightInit& draw,
               bool bias) {
  weight_ = register_parameter(
      "weight", draw.Draw({out, in}, init.mode, in, out, init.weight_gain));
  if (bias) {
    bias_ = register_parameter(
        "bias", draw.Draw({out}, init.mode, in, out, init.bias_gain));
  }
}

at::Tensor Linear::Forward(const at::Tensor& x) const {
  return at::linear(x, Cast(weight_, x), Cast(bias_, x));
}

Conv2d::Conv2d(const Conv2dOptions& options, const LayerInit& init,
               WeightInit& draw)
    : options_(options), box_(IsBox(options.resample_filter)) {
  RETORT_CHECK(!(options.up && options.down));
  if (const int64_t k = options.kernel; k > 0) {
    const int64_t fan_in = options.in * k * k;
    const int64_t fan_out = options.out * k * k;
    weight_ = register_parameter(
        "weight", draw.Draw({options.out, options.in, k, k}, init.mode, fan_in,
                            fan_out, init.weight_gain));
    bias_ = register_parameter(
        "bias",
        draw.Draw({options.out}, init.mode, fan_in, fan_out, init.bias_gain));
  }
  if (options.up || options.down) {
    const at::Tensor f =
        torch::tensor(options.resample_filter, at::kDouble).to(at::kFloat);
    resample_filter_ = register_buffer(
        "resample_filter",
        (at::outer(f, f) / f.sum().square()).unsqueeze(0).unsqueeze(0));
  }
}

at::Tensor Conv2d::Convolve(const at::Tensor& x, int64_t padding) const {
  return at::conv2d(x, Cast(weight_, x), Cast(bias_, x), 1, padding);
}

at::Tensor Conv2d::Down(const at::Tensor& x, int64_t padding) const {
  if (box_ && padding == 0) return at::avg_pool2d(x, 2);
  const int64_t channels = x.size(1);
  const at::Tensor f = Cast(resample_filter_, x).expand({channels, -1, -1, -1});
  return at::conv2d(x, f, {}, 2, padding, 1, channels);
}

at::Tensor Conv2d::Up(const at::Tensor& x) const {
  if (box_) return at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
  const int64_t channels = x.size(1);
  const int64_t padding = (resample_filter_.size(-1) - 1) / 2;
  const at::Tensor f =
      (Cast(resample_filter_, x) * 4).expand({channels, -1, -1, -1});
  return at::conv_transpose2d(x, f, {}, 2, padding, 0, channels);
}

at::Tensor Conv2d::Forward(const at::Tensor& x) const {
  const int64_t pad = options_.kernel / 2;
  if (options_.up) {
    // Repeating pixels commutes with a convolution of one pixel, which is then
    // four times as cheap.
    if (box_ && options_.kernel == 1) return Up(Convolve(x, 0));
    const at::Tensor y = Up(x);
    return options_.kernel > 0 ? Convolve(y, pad) : y;
  }
  if (options_.down) {
    const int64_t filter_pad = (resample_filter_.size(-1) - 1) / 2;
    if (options_.fused_resample && options_.kernel > 0) {
      // The bias comes last: a filter's sum is 1 only up to its rounding.
      at::Tensor y =
          Down(at::conv2d(x, Cast(weight_, x), {}, 1, pad + filter_pad), 0);
      const at::Tensor bias = Cast(bias_, x);
      return bias.defined() ? y + bias.view({1, -1, 1, 1}) : y;
    }
    const at::Tensor y = Down(x, filter_pad);
    return options_.kernel > 0 ? Convolve(y, pad) : y;
  }
  return Convolve(x, pad);
}

GroupNorm::GroupNorm(int64_t channels, double eps) : eps_(eps) {
  weight_ = register_parameter("weight", at::ones({channels}, at::kFloat));
  bias_ = register_parameter("bias", at::zeros({channels}, at::kFloat));
}

at::Tensor GroupNorm::Forward(const at::Tensor& x) const {
  return at::group_norm(x, NormGroups(weight_.size(0)), Cast(weight_, x),
                        Cast(bias_, x), eps_);
}

}  // namespace retort::nn
