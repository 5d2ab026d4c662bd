#include "core/distill/gan_loss.h"

#include <torch/autograd.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace retort::distill {
namespace {

absl::Status GanOutOfRange(absl::string_view field, double value,
                           absl::string_view range) {
  return absl::InvalidArgumentError(
      absl::StrCat("gan ", field, " is ", value, "; it must be ", range));
}

}  // namespace

absl::Status GanOptions::Validate() const {
  if (!(weight >= 0 && std::isfinite(weight))) {
    return GanOutOfRange("weight", weight, "0 (none) or positive");
  }
  if (!(r1_weight >= 0 && std::isfinite(r1_weight))) {
    return GanOutOfRange("r1_weight", r1_weight, "0 (none) or positive");
  }
  if (start_step < 0) {
    return GanOutOfRange("start_step", start_step, "0 or positive");
  }
  if (channels < 1) return GanOutOfRange("channels", channels, "at least 1");
  if (!(learning_rate > 0 && std::isfinite(learning_rate))) {
    return GanOutOfRange("learning_rate", learning_rate, "positive");
  }
  return absl::OkStatus();
}

at::Tensor HingeLoss(const at::Tensor& real, const at::Tensor& fake) {
  return (1 - real).relu().mean() + (1 + fake).relu().mean();
}

at::Tensor R1Penalty(const Discriminator& d, const at::Tensor& images,
                     const at::Tensor& labels) {
  const at::Tensor x = images.detach().requires_grad_(true);
  // Images do not meet in D, so the gradient of the sum has theirs one by one.
  const at::Tensor gradient =
      torch::autograd::grad({d.Forward(x, labels).sum()}, {x}, {},
                            /*retain_graph=*/true, /*create_graph=*/true)[0];
  return gradient.square().flatten(1).sum(1).mean();
}

DiscriminatorLoss EvaluateDiscriminator(const GanOptions& options,
                                        const Discriminator& d,
                                        const at::Tensor& real,
                                        const at::Tensor& fake,
                                        const at::Tensor& labels) {
  DiscriminatorLoss loss;
  const at::Tensor d_fake = d.Forward(fake.detach(), labels);
  loss.fake = d_fake.detach();
  loss.hinge = HingeLoss(d.Forward(real.detach(), labels), d_fake);
  loss.total = loss.hinge;
  if (options.r1_weight > 0) {
    loss.r1 = R1Penalty(d, real, labels);
    loss.total = loss.hinge + 0.5 * options.r1_weight * loss.r1;
  }
  return loss;
}

double AdaptiveGanWeight(double student_norm, double adversarial_norm) {
  const double ratio = student_norm / (adversarial_norm + 1e-4);
  return std::isnan(ratio) ? 1 : std::min(std::max(ratio, 0.0), 1e4);
}

}  // namespace retort::distill
