#include "core/distill/distance.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/status_matchers.h"

namespace retort::distill {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

double Apply(const DistanceOptions& options, const at::Tensor& a,
             const at::Tensor& b) {
  return MakeDistance(options).value()->PerSample(a, b)[0].item<double>();
}

const at::Tensor kZero = at::zeros({1, 1, 2, 2}, at::kDouble);
const at::Tensor kTwo = at::full({1, 1, 2, 2}, 2.0, at::kDouble);

TEST(DistanceTest, L1IsTheMeanAbsoluteDifference) {
  EXPECT_DOUBLE_EQ(Apply({.name = "l1"}, kTwo, kZero), 2.0);
}

TEST(DistanceTest, L2IsTheMeanSquaredDifference) {
  EXPECT_DOUBLE_EQ(Apply({.name = "l2"}, kTwo, kZero), 4.0);
}

TEST(DistanceTest, PseudoHuberFollowsItsFormula) {
  EXPECT_DOUBLE_EQ(Apply({.name = "pseudo-huber", .huber_c = 3}, kTwo, kZero),
                   std::sqrt(16.0 + 9.0) - 3);
}

TEST(DistanceTest, PseudoHuberChoosesItsConstantFromTheDimension) {
  const double c = 0.00054 * std::sqrt(4.0);
  EXPECT_DOUBLE_EQ(Apply({.name = "pseudo-huber"}, kTwo, kZero),
                   std::sqrt(16.0 + c * c) - c);
}

TEST(DistanceTest, PseudoHuberHasAGradientWhereBothImagesAgree) {
  at::Tensor a = kZero.clone().set_requires_grad(true);
  MakeDistance({}).value()->PerSample(a, kZero).sum().backward();
  EXPECT_TRUE(at::isfinite(a.grad()).all().item<bool>());
}

TEST(DistanceTest, UnitRangeQuartersASquaredDistance) {
  EXPECT_DOUBLE_EQ(Apply({.name = "l2", .unit_range = true}, kTwo, kZero), 1.0);
}

TEST(DistanceTest, ResizingKeepsTheDistanceOfConstantImages) {
  EXPECT_DOUBLE_EQ(Apply({.name = "l2", .resize = 7}, kTwo, kZero), 4.0);
}

TEST(DistanceTest, GivesOneNumberPerSample) {
  const at::Tensor a = at::rand({5, 3, 4, 4}), b = at::rand({5, 3, 4, 4});
  const at::Tensor d = MakeDistance({.name = "l1"}).value()->PerSample(a, b);
  EXPECT_EQ(d.sizes(), at::IntArrayRef({5}));
}

TEST(DistanceTest, RefusesAnUnknownNameAndSaysWhatIsKnown) {
  EXPECT_THAT(MakeDistance({.name = "cosine"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("use l1, l2, pseudo-huber or lpips")));
}

TEST(DistanceTest, OnlyLpipsHasWeights) {
  EXPECT_THAT(MakeDistance({.name = "lpips"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("lpips needs weights")));
  const auto l2 = MakeDistance({.name = "l2"}).value();
  EXPECT_THAT(MakeDistance({.name = "l1"}, l2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("l1 has no weights")));
}

TEST(DistanceTest, RefusesANegativeSize) {
  EXPECT_THAT(MakeDistance({.resize = -1}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace retort::distill
