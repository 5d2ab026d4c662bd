#include "core/distill/gan_loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/core/distill/tiny_models.h"
#include "tests/support/status_matchers.h"

namespace retort::distill {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::TinyImages;
using ::testing::HasSubstr;

// A discriminator without classes on 8x8 images, in float64.
std::shared_ptr<Discriminator> Make() {
  auto d = std::make_shared<Discriminator>(DiscriminatorConfig{8, 1, 0, 4}, 1);
  d->to(at::kDouble);
  return d;
}

// One on 4x4 images, a single convolution, that is linear where images are
// positive: D(x) = w sum(x) / 4 + b for the middle tap 1 of one channel.
std::shared_ptr<Discriminator> MakeLinear(double w, double b) {
  auto d = std::make_shared<Discriminator>(DiscriminatorConfig{4, 1, 0, 1}, 1);
  d->to(at::kDouble);
  torch::NoGradGuard no_grad;
  auto p = d->named_parameters();
  p["layer0.weight"].zero_();
  p["layer0.weight"][0][0][1][1] = 1;
  p["layer0.bias"].zero_();
  p["output.weight"].fill_(w);
  p["output.bias"].fill_(b);
  return d;
}

TEST(GanLossTest, HingeIsZeroBeyondItsMarginsAndLinearWithin) {
  const at::Tensor real = at::tensor({2.0, 1.0, 0.0, -3.0}, at::kDouble);
  const at::Tensor fake = at::tensor({-2.0, -1.0, 0.5}, at::kDouble);
  // (0 + 0 + 1 + 4) / 4 + (0 + 0 + 1.5) / 3
  EXPECT_DOUBLE_EQ(HingeLoss(real, fake).item<double>(), 1.25 + 0.5);
}

TEST(GanLossTest, R1OfALinearDiscriminatorIsTheSquareOfItsWeights) {
  const auto d = MakeLinear(3, 0.7);
  const at::Tensor x = at::rand({5, 1, 4, 4}, at::kDouble) + 0.1;
  // Sixteen weights of 3/4.
  EXPECT_NEAR(R1Penalty(*d, x, {}).item<double>(), 16 * 9.0 / 16, 1e-12);
  const DiscriminatorLoss loss =
      EvaluateDiscriminator({.r1_weight = 0.5}, *d, x, x, {});
  EXPECT_NEAR(loss.total.item<double>() - loss.hinge.item<double>(), 0.25 * 9,
              1e-12);
}

TEST(GanLossTest, TheGradientOfR1IsThatOfItsClosedForm) {
  const auto d = MakeLinear(3, 0);
  R1Penalty(*d, at::rand({2, 1, 4, 4}, at::kDouble) + 0.1, {}).backward();
  // w^2 times the tap squared.
  EXPECT_NEAR(d->named_parameters()["output.weight"].grad().item<double>(), 6,
              1e-12);
}

TEST(GanLossTest, TheGradientOfR1IsTheDifferenceQuotient) {
  const auto d = Make();
  const at::Tensor x = TinyImages(3, 2).to(at::kDouble);
  R1Penalty(*d, x, {}).backward();
  at::Tensor weight = d->named_parameters()["layer1.weight"];
  const double slope = weight.grad()[0][0][1][1].item<double>();
  constexpr double kStep = 1e-6;
  const auto at = [&](double shift) {
    {
      torch::NoGradGuard no_grad;
      weight[0][0][1][1] += shift;
    }
    return R1Penalty(*d, x, {}).item<double>();
  };
  const double up = at(kStep), down = at(-2 * kStep);
  EXPECT_NEAR(slope, (up - down) / (2 * kStep), 1e-6 * std::abs(slope) + 1e-9);
}

TEST(GanLossTest, WithoutAWeightThereIsNoR1) {
  const auto d = Make();
  const at::Tensor x = TinyImages(3, 2);
  const DiscriminatorLoss loss =
      EvaluateDiscriminator({.r1_weight = 0}, *d, x, -x, {});
  EXPECT_FALSE(loss.r1.defined());
  EXPECT_TRUE(loss.total.equal(loss.hinge));
}

TEST(GanLossTest, TheDiscriminatorsLossReachesNoImage) {
  const auto d = Make();
  const at::Tensor fake = TinyImages(2, 3).requires_grad_(true);
  const DiscriminatorLoss loss =
      EvaluateDiscriminator({}, *d, TinyImages(2, 2), fake, {});
  loss.total.backward();
  EXPECT_FALSE(fake.grad().defined());
  EXPECT_GT(d->parameters()[0].grad().norm().item<double>(), 0);
}

TEST(GanLossTest, TheAdaptiveWeightIsARatioWithinBounds) {
  EXPECT_DOUBLE_EQ(AdaptiveGanWeight(3, 1.5 - 1e-4), 2);
  EXPECT_EQ(AdaptiveGanWeight(3, 0), 1e4);  // 3e4, clamped
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(AdaptiveGanWeight(inf, inf), 1);
  EXPECT_EQ(AdaptiveGanWeight(1, inf), 0);
  EXPECT_EQ(AdaptiveGanWeight(std::nan(""), 1), 1);
}

TEST(GanOptionsTest, NamesTheFieldThatIsOutOfRange) {
  EXPECT_THAT(GanOptions().Validate(), IsOk());
  const auto refused = [](GanOptions options, const char* field) {
    EXPECT_THAT(options.Validate(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
  };
  refused({.weight = -1}, "weight");
  refused({.r1_weight = -1}, "r1_weight");
  refused({.start_step = -1}, "start_step");
  refused({.channels = 0}, "channels");
  refused({.learning_rate = 0}, "learning_rate");
}

}  // namespace
}  // namespace retort::distill
