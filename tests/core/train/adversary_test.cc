#include "core/train/adversary.h"

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

constexpr int64_t kGanImages = 6;

struct GanOutcome {
  Metrics metrics;
  std::vector<at::Tensor> student, discriminator;  // gradients
  at::Tensor last;                                 // the last layer's
};

GanOutcome TakeGanStep(TrainOptions options, at::ScalarType type,
                       double loss_scale = 1) {
  const bool ctm = options.method == Method::kCtm;
  Networks networks = {TinyNet(1, ctm, 3), TinyNet(2, ctm, 3),
                       TinyNet(3, false, 3), std::make_shared<math::CtmJump>()};
  if (options.gan.weight > 0) {
    networks.discriminator = std::make_shared<distill::Discriminator>(
        distill::DiscriminatorConfig{8, 1, 3, 4}, 1);
    networks.discriminator->to(type);
  }
  for (const auto& net :
       {networks.student, networks.target, networks.teacher}) {
    net->to(type);
  }
  for (at::Tensor& p : networks.target->parameters()) {
    p.set_requires_grad(false);
  }
  options.batch_size = kGanImages;
  auto objective = MakeObjective(options, networks).value();
  StepInput input;
  input.step = 7;
  input.samples = Range(kGanImages);
  input.batch.images = TinyImages(kGanImages, 5).to(type);
  input.batch.labels = at::one_hot(at::arange(kGanImages) % 3, 3).to(type);
  input.loss_scale = loss_scale;
  GanOutcome outcome{objective->TakeGradients(input), {}, {}, {}};
  for (const at::Tensor& p : networks.student->parameters()) {
    outcome.student.push_back(p.grad().defined() ? p.grad().clone()
                                                 : at::zeros_like(p));
  }
  outcome.last = networks.student->LastLayerWeight().grad().clone();
  if (networks.discriminator == nullptr) return outcome;
  for (const at::Tensor& p : networks.discriminator->parameters()) {
    outcome.discriminator.push_back(p.grad().clone());
  }
  return outcome;
}

class AdversaryTest : public ::testing::TestWithParam<Method> {
 protected:
  AdversaryTest() {
    options_.method = GetParam();
    // CTM's other loss would have a weight of its own.
    options_.ctm.denoising_weight = 0;
    options_.gan.weight = 0.5;
  }
  TrainOptions options_;
};

TEST_P(AdversaryTest, ItsShareOfTheLastLayersGradientIsItsWeight) {
  const GanOutcome with = TakeGanStep(options_, at::kDouble);
  options_.gan.weight = 0;
  const GanOutcome without = TakeGanStep(options_, at::kDouble);
  // lambda makes both gradients equally long there.
  const double share = (with.last - without.last).norm().item<double>() /
                       without.last.norm().item<double>();
  EXPECT_NEAR(share, 0.5, 0.01);  // but for the 1e-4 in lambda
  EXPECT_NEAR(with.metrics.at("loss") - without.metrics.at("loss"),
              with.metrics.at("gan_weight") * with.metrics.at("loss_gan"),
              1e-9);
  EXPECT_EQ(without.metrics.count("loss_gan"), 0u);
}

TEST_P(AdversaryTest, BeforeItsFirstStepOnlyTheDiscriminatorLearns) {
  options_.gan.start_step = 8;
  const GanOutcome early = TakeGanStep(options_, at::kDouble);
  EXPECT_EQ(early.metrics.at("gan_weight"), 0);
  EXPECT_GT(early.metrics.at("r1"), 0);
  double learns = 0;
  for (const at::Tensor& g : early.discriminator) {
    learns += g.norm().item<double>();
  }
  EXPECT_GT(learns, 0);
  options_.gan.weight = 0;
  const GanOutcome without = TakeGanStep(options_, at::kDouble);
  for (size_t i = 0; i < without.student.size(); ++i) {
    EXPECT_TRUE(early.student[i].equal(without.student[i])) << i;
  }
}

TEST_P(AdversaryTest, PartsGiveTheGradientsOfTheWholeBatch) {
  const GanOutcome whole = TakeGanStep(options_, at::kDouble);
  for (const int64_t parts : {2, 6}) {
    options_.accumulation = parts;
    const GanOutcome cut = TakeGanStep(options_, at::kDouble);
    for (const auto& [name, value] : whole.metrics) {
      EXPECT_NEAR(cut.metrics.at(name), value, 1e-11 * std::abs(value)) << name;
    }
    const auto expect_same = [](const std::vector<at::Tensor>& a,
                                const std::vector<at::Tensor>& b) {
      for (size_t i = 0; i < a.size(); ++i) {
        const double size = a[i].abs().max().item<double>();
        EXPECT_LE((a[i] - b[i]).abs().max().item<double>(), 1e-11 * size) << i;
      }
    };
    expect_same(whole.student, cut.student);
    expect_same(whole.discriminator, cut.discriminator);
  }
}

TEST_P(AdversaryTest, TheLossScaleLeavesNoTrace) {
  const GanOutcome plain = TakeGanStep(options_, at::kFloat);
  const GanOutcome scaled = TakeGanStep(options_, at::kFloat, 65536);
  EXPECT_EQ(plain.metrics, scaled.metrics);
  for (size_t i = 0; i < plain.student.size(); ++i) {
    EXPECT_TRUE(plain.student[i].equal(scaled.student[i])) << i;
  }
  for (size_t i = 0; i < plain.discriminator.size(); ++i) {
    EXPECT_TRUE(plain.discriminator[i].equal(scaled.discriminator[i])) << i;
  }
}

TEST_P(AdversaryTest, StudentGradientsThatOverflowLeaveTheLossANumber) {
  options_.precision = Precision::kFp16;
  const GanOutcome r = TakeGanStep(options_, at::kFloat, std::exp2(40));
  EXPECT_TRUE(std::isfinite(r.metrics.at("loss")));
  bool finite = true;
  for (const at::Tensor& g : r.student) {
    finite = finite && g.isfinite().all().item<bool>();
  }
  EXPECT_FALSE(finite);
}

INSTANTIATE_TEST_SUITE_P(Methods, AdversaryTest,
                         ::testing::Values(Method::kCm, Method::kCtm),
                         [](const auto& info) {
                           return MethodName(info.param);
                         });

}  // namespace
}  // namespace retort::train
