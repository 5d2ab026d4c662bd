#include "core/train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/status_matchers.h"

namespace retort::train {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

at::Tensor Parameter(double value, double gradient) {
  at::Tensor p = at::full({1}, value, at::kDouble);
  p.mutable_grad() = at::full({1}, gradient, at::kDouble);
  return p;
}

TEST(OptimizerTest, AdamsFirstStepIsTheLearningRateWhateverTheGradient) {
  at::Tensor p = Parameter(1, 1e-3), q = Parameter(1, 50);
  MakeOptimizer({p, q}, {}).value()->Step(0.1);
  EXPECT_NEAR(p.item<double>(), 0.9, 1e-5);
  EXPECT_NEAR(q.item<double>(), 0.9, 1e-5);
}

TEST(OptimizerTest, RAdamsFirstStepsFollowTheMomentumAlone) {
  at::Tensor p = Parameter(1, 50);
  MakeOptimizer({p}, {.name = "radam"}).value()->Step(0.01);
  EXPECT_NEAR(p.item<double>(), 0.5, 1e-9);
}

TEST(OptimizerTest, RAdamBecomesAdaptiveAtTheSixthStep) {
  at::Tensor p = Parameter(0, 50);
  const auto optimizer = MakeOptimizer({p}, {.name = "radam"}).value();
  for (int k = 0; k < 5; ++k) optimizer->Step(0.01);
  const double before = p.item<double>();
  optimizer->Step(0.01);
  EXPECT_NEAR(before, -2.5, 1e-9);
  EXPECT_LT(std::abs(p.item<double>() - before), 0.01);
}

TEST(OptimizerTest, WeightDecayPullsTowardsZero) {
  at::Tensor p = Parameter(1, 0);
  MakeOptimizer({p}, {.name = "radam", .weight_decay = 0.5}).value()->Step(0.1);
  EXPECT_NEAR(p.item<double>(), 0.95, 1e-9);
}

TEST(OptimizerTest, LeavesParametersWithoutGradientsAlone) {
  at::Tensor p = Parameter(1, 1), unused = at::ones({1}, at::kDouble);
  const auto optimizer = MakeOptimizer({p, unused}, {}).value();
  optimizer->Step(0.1);
  EXPECT_EQ(unused.item<double>(), 1.0);
  EXPECT_EQ(optimizer->exp_avg()[1].item<double>(), 0.0);
}

TEST(OptimizerTest, StepsInPlaceOfALeafThatRequiresGradients) {
  at::Tensor p = at::ones({1}).set_requires_grad(true);
  (p * 2).sum().backward();
  MakeOptimizer({p}, {}).value()->Step(0.25);
  EXPECT_NEAR(p.item<float>(), 0.75, 1e-4);
}

TEST(OptimizerTest, TakesGradientsOfAnotherMemoryLayout) {
  at::Tensor p = at::zeros({2, 2}), q = at::zeros({2, 2});
  const at::Tensor g = at::tensor({1.0f, 2.0f, -3.0f, 4.0f}).view({2, 2});
  p.mutable_grad() = g.clone();
  q.mutable_grad() = g.t().contiguous().t();
  for (at::Tensor* t : {&p, &q}) MakeOptimizer({*t}, {}).value()->Step(0.1);
  EXPECT_TRUE(p.equal(q));
}

TEST(OptimizerTest, RefusesAnUnknownNameAndSaysWhatIsKnown) {
  EXPECT_THAT(MakeOptimizer({}, {.name = "sgd"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("use adam or radam")));
}

TEST(OptimizerTest, RefusesABetaOutOfRange) {
  EXPECT_THAT(MakeOptimizer({}, {.beta2 = 1.0}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("beta2")));
}

TEST(GradientsTest, NormIsOverAllParameters) {
  EXPECT_DOUBLE_EQ(GradientNorm({Parameter(0, 3), Parameter(0, 4)}), 5.0);
}

TEST(GradientsTest, NormTellsOfASingleNotANumber) {
  EXPECT_TRUE(std::isnan(
      GradientNorm({Parameter(0, 3),
                    Parameter(0, std::numeric_limits<double>::quiet_NaN())})));
}

TEST(GradientsTest, NonFiniteOnesAreReplacedByNumbers) {
  const double inf = std::numeric_limits<double>::infinity();
  at::Tensor p = Parameter(0, std::nan("")), q = Parameter(0, -inf);
  ReplaceNonFiniteGradients({p, q});
  EXPECT_EQ(p.grad().item<double>(), 0.0);
  EXPECT_EQ(q.grad().item<double>(), -1e5);
}

}  // namespace
}  // namespace retort::train
