#include "core/train/ema.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace retort::train {

Ema::Ema(const std::vector<at::Tensor>& parameters) {
  values_.reserve(parameters.size());
  for (const at::Tensor& p : parameters) values_.push_back(p.detach().clone());
}

Ema Ema::Over(std::vector<at::Tensor> values) {
  Ema ema;
  ema.values_ = std::move(values);
  return ema;
}

void Ema::Update(const std::vector<at::Tensor>& parameters, double rate) {
  torch::NoGradGuard no_grad;
  at::_foreach_lerp_(values_, parameters, 1 - rate);
}

double HalflifeRate(int64_t batch, double halflife_images, double rampup_ratio,
                    int64_t images_before) {
  double h = halflife_images;
  if (rampup_ratio > 0) h = std::min(h, images_before * rampup_ratio);
  return std::pow(0.5, batch / std::max(h, 1e-8));
}

}  // namespace retort::train
