#include <gtest/gtest.h>

#include <cmath>

#include "core/train/objective.h"
#include "tests/core/distill/tiny_models.h"
#include "tests/support/status_matchers.h"

namespace retort::train {
namespace {

using ::retort::testing::Range;
using ::retort::testing::TinyImages;
using ::retort::testing::TinyNet;

constexpr int64_t kImages = 6;

struct StepOutcome {
  Metrics metrics;
  std::vector<at::Tensor> gradients;
};

// One step of `method` on six labelled images with fresh networks of `type`.
StepOutcome TakeStep(TrainOptions options, at::ScalarType type,
                     double loss_scale = 1) {
  const bool ctm = options.method == Method::kCtm;
  Networks networks = {TinyNet(1, ctm, 3), TinyNet(2, ctm, 3),
                       TinyNet(3, false, 3), std::make_shared<math::CtmJump>()};
  for (const auto& net :
       {networks.student, networks.target, networks.teacher}) {
    net->to(type);
  }
  for (at::Tensor& p : networks.target->parameters()) {
    p.set_requires_grad(false);
  }
  options.batch_size = kImages;
  auto objective = MakeObjective(options, networks).value();
  StepInput input;
  input.step = 7;
  input.samples = testing::Range(kImages);
  input.batch.images = TinyImages(kImages, 5).to(type);
  input.batch.labels = at::one_hot(at::arange(kImages) % 3, 3).to(type);
  input.loss_scale = loss_scale;
  StepOutcome outcome{objective->TakeGradients(input), {}};
  for (const at::Tensor& p : networks.student->parameters()) {
    outcome.gradients.push_back(p.grad().defined() ? p.grad()
                                                   : at::zeros_like(p));
  }
  return outcome;
}

class AccumulationTest : public ::testing::TestWithParam<Method> {};

TEST_P(AccumulationTest, PartsGiveTheGradientOfTheWholeBatch) {
  TrainOptions options;
  options.method = GetParam();
  const StepOutcome whole = TakeStep(options, at::kDouble);
  for (const int64_t parts : {2, 3, 6}) {
    options.accumulation = parts;
    const StepOutcome cut = TakeStep(options, at::kDouble);
    for (const auto& [name, value] : whole.metrics) {
      EXPECT_NEAR(cut.metrics.at(name), value, 1e-12 * std::abs(value))
          << name << " in " << parts << " parts";
    }
    for (size_t i = 0; i < whole.gradients.size(); ++i) {
      const double size = whole.gradients[i].abs().max().item<double>();
      const double error =
          (cut.gradients[i] - whole.gradients[i]).abs().max().item<double>();
      EXPECT_LE(error, 1e-12 * size) << i << " in " << parts << " parts";
    }
  }
}

TEST_P(AccumulationTest, TheLossScaleLeavesNoTrace) {
  TrainOptions options;
  options.method = GetParam();
  for (const int64_t parts : {1, 3}) {
    options.accumulation = parts;
    const StepOutcome plain = TakeStep(options, at::kFloat);
    const StepOutcome scaled = TakeStep(options, at::kFloat, 65536);
    EXPECT_EQ(plain.metrics, scaled.metrics);
    for (size_t i = 0; i < plain.gradients.size(); ++i) {
      EXPECT_TRUE(plain.gradients[i].equal(scaled.gradients[i])) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, AccumulationTest,
                         ::testing::Values(Method::kEdm, Method::kCm,
                                           Method::kCtm),
                         [](const auto& info) {
                           return MethodName(info.param);
                         });

TEST(AccumulatedWeightTest, TheAdaptiveWeightIsThatOfTheWholeBatch) {
  TrainOptions options;
  options.method = Method::kCtm;
  const double whole =
      TakeStep(options, at::kDouble).metrics.at("adaptive_weight");
  options.ctm.adaptive_weight = false;
  EXPECT_NE(whole, 1);
  EXPECT_EQ(TakeStep(options, at::kDouble).metrics.at("adaptive_weight"), 1);
}

class PrecisionStepTest : public ::testing::TestWithParam<Method> {};

TEST_P(PrecisionStepTest, HalfFormatsGiveNearlyTheSameGradient) {
  TrainOptions options;
  options.method = GetParam();
  const StepOutcome exact = TakeStep(options, at::kFloat);
  for (const Precision precision : {Precision::kBf16, Precision::kFp16}) {
    options.precision = precision;
    const double scale = precision == Precision::kFp16 ? 1024 : 1;
    const StepOutcome half = TakeStep(options, at::kFloat, scale);
    double error = 0, size = 0;
    for (size_t i = 0; i < exact.gradients.size(); ++i) {
      ASSERT_EQ(half.gradients[i].scalar_type(), at::kFloat);
      error += (half.gradients[i] - exact.gradients[i])
                   .square()
                   .sum()
                   .item<double>();
      size += exact.gradients[i].square().sum().item<double>();
    }
    const double relative = std::sqrt(error / size);
    // Something is rounded, and not much: 8 and 11 bits.
    EXPECT_GT(relative, 1e-6);
    EXPECT_LT(relative, precision == Precision::kBf16 ? 0.05 : 0.01);
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, PrecisionStepTest,
                         ::testing::Values(Method::kEdm, Method::kCm,
                                           Method::kCtm),
                         [](const auto& info) {
                           return MethodName(info.param);
                         });

TEST(OverflowTest, GradientsThatOverflowLeaveTheLossANumber) {
  TrainOptions options;
  options.precision = Precision::kFp16;
  for (const Method method : {Method::kEdm, Method::kCm, Method::kCtm}) {
    options.method = method;
    // The last layer's gradient overflows in all losses: there is no ratio of
    // CTM's two, and only a smaller loss scale is of help.
    const StepOutcome r = TakeStep(options, at::kFloat, std::exp2(40));
    EXPECT_TRUE(std::isfinite(r.metrics.at("loss"))) << MethodName(method);
    bool finite = true;
    for (const at::Tensor& g : r.gradients) {
      finite = finite && g.isfinite().all().item<bool>();
    }
    EXPECT_FALSE(finite) << MethodName(method);
  }
}

}  // namespace
}  // namespace retort::train
