#include "core/distill/discriminator.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/base/check.h"
#include "core/nn/weight_init.h"

namespace retort::distill {
namespace {

constexpr double kSlope = 0.2;
constexpr int64_t kSmallestSide = 4;
constexpr int64_t kMostWidening = 8;

// A convolution, on the side that its output has.
struct PlannedLayer {
  int64_t in, out, side;
  bool down;
};

std::vector<PlannedLayer> Plan(const DiscriminatorConfig& c) {
  std::vector<PlannedLayer> plan = {
      {c.img_channels, c.channels, c.resolution, false}};
  while (plan.back().side > kSmallestSide && plan.back().side % 2 == 0) {
    const PlannedLayer& last = plan.back();
    plan.push_back({last.out,
                    std::min(2 * last.out, kMostWidening * c.channels),
                    last.side / 2, true});
  }
  return plan;
}

}  // namespace

Discriminator::Discriminator(const DiscriminatorConfig& config, uint64_t seed)
    : config_(config) {
  RETORT_CHECK(config.resolution > 0 && config.channels > 0 &&
               config.img_channels > 0 && config.label_dim >= 0);
  nn::WeightInit draw(seed);
  // Kaiming's gain for this slope.
  const nn::LayerInit init = {nn::InitMode::kKaimingNormal,
                              std::sqrt(2 / (1 + kSlope * kSlope)), 0};
  for (const PlannedLayer& layer : Plan(config)) {
    const nn::Conv2dOptions options = {
        .in = layer.in, .out = layer.out, .down = layer.down};
    layers_.push_back(
        register_module("layer" + std::to_string(layers_.size()),
                        std::make_shared<nn::Conv2d>(options, init, draw)));
  }
  const int64_t width = Plan(config).back().out;
  output_ = register_module(
      "output", std::make_shared<nn::Linear>(width, 1, nn::LayerInit(), draw));
  if (config.label_dim == 0) return;
  classes_ = register_module(
      "classes", std::make_shared<nn::Linear>(config.label_dim, width,
                                              nn::LayerInit(), draw, false));
}

at::Tensor Discriminator::Forward(const at::Tensor& images,
                                  const at::Tensor& labels) const {
  const at::ScalarType type = layers_.front()->weight().scalar_type();
  at::Tensor x = layers_.front()->Forward(images.to(type));
  for (size_t i = 1; i < layers_.size(); ++i) {
    x = layers_[i]->Forward(at::leaky_relu(x, kSlope));
  }
  const double pixels = static_cast<double>(x.size(2) * x.size(3));
  const at::Tensor phi =
      at::leaky_relu(x, kSlope).sum({2, 3}) / std::sqrt(pixels);
  at::Tensor d = output_->Forward(phi).squeeze(1);
  if (classes_ != nullptr) {
    d = d + (phi * classes_->Forward(labels.to(type))).sum(1);
  }
  return d;
}

int64_t CountParameters(const DiscriminatorConfig& config) {
  int64_t n = 0;
  const std::vector<PlannedLayer> plan = Plan(config);
  for (const PlannedLayer& layer : plan) n += (9 * layer.in + 1) * layer.out;
  return n + plan.back().out * (1 + config.label_dim) + 1;
}

int64_t CountActivations(const DiscriminatorConfig& config) {
  int64_t n = 0;
  for (const PlannedLayer& layer : Plan(config)) {
    // The convolution's input and output; of a smaller one also what it was
    // averaged from.
    const int64_t pixels = layer.side * layer.side;
    n += (layer.in + layer.out) * pixels;
    if (layer.down) n += 4 * layer.in * pixels;
  }
  return n;
}

}  // namespace retort::distill
