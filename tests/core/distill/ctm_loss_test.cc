#include "core/distill/ctm_loss.h"

#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <array>
#include <cmath>

#include "tests/core/distill/tiny_models.h"
#include "tests/support/status_matchers.h"

namespace retort::distill {
namespace {

using ::retort::testing::CtmModel;
using ::retort::testing::IsOk;
using ::retort::testing::Range;
using ::retort::testing::StatusIs;
using ::retort::testing::TinyImages;
using ::retort::testing::TinyNet;
using ::testing::HasSubstr;

CtmLoss MakeLoss(CtmLossOptions options = {}) {
  return CtmLoss(options, MakeDistance({.name = "l2"}).value());
}

// Student, target, teacher and a batch of four.
struct Models {
  nn::ConsistencyModel student = CtmModel(TinyNet(1, true));
  nn::ConsistencyModel target = CtmModel(TinyNet(2, true));
  std::shared_ptr<nn::EdmDenoiser> teacher = TinyNet(3);
  LossBatch batch = {TinyImages(4, 9), {}, {}};

  Models() {
    for (at::Tensor& p : target.denoiser().parameters()) {
      p.set_requires_grad(false);
    }
  }
  CtmLossResult Run(const CtmLoss& loss, const CtmDraws& draws,
                    uint64_t dropout_seed = 0) {
    return loss.EvaluateWithGradients(student, target, *teacher, batch, draws,
                                      /*step=*/0, dropout_seed);
  }
  at::Tensor LastGradient() {
    return student.denoiser().LastLayerWeight().grad().clone();
  }
};

TEST(CtmLossTest, DrawsStepsInProportionToTheirNumber) {
  const CtmLoss loss = MakeLoss({.max_ode_steps = 3});
  std::array<int, 4> count{};
  for (int64_t step = 0; step < 3000; ++step) {
    ++count[loss.Draw(1, step, Range(1), {1}).ode_steps];
  }
  EXPECT_EQ(count[0], 0);
  EXPECT_NEAR(count[1], 500, 80);
  EXPECT_NEAR(count[2], 1000, 110);
  EXPECT_NEAR(count[3], 1500, 120);
}

TEST(CtmLossTest, DrawsStepsUniformlyWhenAsked) {
  const CtmLoss loss =
      MakeLoss({.max_ode_steps = 3, .weight_steps_by_k = false});
  std::array<int, 4> count{};
  for (int64_t step = 0; step < 3000; ++step) {
    ++count[loss.Draw(1, step, Range(1), {1}).ode_steps];
  }
  for (int k = 1; k <= 3; ++k) EXPECT_NEAR(count[k], 1000, 110);
}

TEST(CtmLossTest, DrawnTimesAreOrderedAndReachTheGridsEnd) {
  const CtmLoss loss = MakeLoss();
  for (int64_t step = 0; step < 50; ++step) {
    const CtmDraws d = loss.Draw(1, step, Range(64), {1});
    const at::Tensor first = d.index + d.ode_steps;
    EXPECT_GE(d.index.min().item<int64_t>(), 0);
    EXPECT_TRUE((d.index_s >= first).all().item<bool>());
    EXPECT_LE(d.index_s.max().item<int64_t>(), 17);
  }
}

TEST(CtmLossTest, EveryOtherDenoisingTimeIsFromTheNoisyEndOfTheGrid) {
  const CtmDraws d = MakeLoss().Draw(1, 0, Range(2000), {1});
  const at::Tensor odd = d.dsm_sigma.slice(0, 1, 2000, 2);
  EXPECT_LE(odd.max().item<double>(), 80);
  EXPECT_GE(odd.min().item<double>(), math::TimeAt({}, 0.7));
  const at::Tensor even = d.dsm_sigma.slice(0, 0, 2000, 2).log();
  EXPECT_NEAR(even.mean().item<double>(), -1.2, 0.15);
}

TEST(CtmLossTest, RowsThatNeedNoJumpGiveTheSameAsIfTheyWereComputed) {
  const CtmLoss loss = MakeLoss();
  CtmDraws draws = loss.Draw(1, 0, Range(4), {1, 8, 8});
  draws.ode_steps = 2;
  draws.index = at::tensor({0, 3, 15, 5}, at::kLong);
  draws.index_s = at::tensor({17, 5, 17, 9}, at::kLong);
  Models a, b;
  const CtmLossResult skipping = a.Run(loss, draws);
  const CtmLossResult computing = b.Run(loss, draws, /*dropout_seed=*/1);
  EXPECT_TRUE(
      at::allclose(skipping.consistency, computing.consistency, 1e-4, 1e-7));
  EXPECT_TRUE(at::allclose(a.LastGradient(), b.LastGradient(), 1e-3, 1e-6));
}

TEST(CtmLossTest, CombinedGradientIsThatOfTheWeightedSum) {
  const CtmLoss loss = MakeLoss({.consistency_weight = 2,
                                 .denoising_weight = 0.5,
                                 .adaptive_weight = false});
  const CtmDraws draws = loss.Draw(1, 0, Range(4), {1, 8, 8});
  Models s;
  s.Run(loss, draws);
  const at::Tensor both = s.LastGradient();
  Models only;
  only.Run(MakeLoss({.denoising_weight = 0}), draws);
  const at::Tensor consistency = only.LastGradient();
  Models doubled;
  doubled.Run(MakeLoss({.denoising_weight = 1, .adaptive_weight = false}),
              draws);
  const at::Tensor denoising = doubled.LastGradient() - consistency;
  EXPECT_TRUE(
      at::allclose(both, 2 * consistency + 0.5 * denoising, 1e-3, 1e-6));
}

TEST(CtmLossTest, AdaptiveWeightIsTheRatioOfLastLayerGradients) {
  const CtmDraws draws = MakeLoss().Draw(1, 0, Range(4), {1, 8, 8});
  Models only, plain, adaptive;
  only.Run(MakeLoss({.denoising_weight = 0}), draws);
  plain.Run(MakeLoss({.adaptive_weight = false}), draws);
  const at::Tensor consistency = only.LastGradient();
  const double ratio =
      consistency.norm().item<double>() /
      ((plain.LastGradient() - consistency).norm().item<double>() + 1e-4);
  EXPECT_NEAR(adaptive.Run(MakeLoss(), draws).adaptive_weight, ratio,
              1e-3 * ratio);
}

TEST(CtmLossTest, AdaptiveWeightWaitsForItsFirstStep) {
  const CtmLoss loss = MakeLoss({.adaptive_from_step = 1});
  Models s;
  EXPECT_EQ(s.Run(loss, loss.Draw(1, 0, Range(4), {1, 8, 8})).adaptive_weight,
            1.0);
}

TEST(CtmLossTest, AJumpWeighsMoreTheShorterItIs) {
  const at::Tensor t = at::full({1}, 4.0, at::kDouble);
  // 1 / (1 - 3/4) = 4.
  EXPECT_DOUBLE_EQ(JumpWeight(t, t * 0.75, 1).item<double>(), 4);
  EXPECT_DOUBLE_EQ(JumpWeight(t, t * 0.75, 1.5).item<double>(), 8);
  EXPECT_DOUBLE_EQ(JumpWeight(t, t * 0.75, 0).item<double>(), 1);
}

// Four pairs whose times t > u > s > eps all differ.
CtmDraws Jumps() {
  CtmDraws draws = MakeLoss().Draw(1, 0, Range(4), {1, 8, 8});
  draws.ode_steps = 2;
  draws.index = at::tensor({0, 3, 8, 12}, at::kLong);
  draws.index_s = at::tensor({5, 9, 16, 15}, at::kLong);
  return draws;
}

at::Tensor Eps(const CtmLossResult& r) { return at::full_like(r.s, 0.002); }

TEST(CtmLossTest, LossIsWeightedByTheJump) {
  Models s;
  const CtmLossResult plain = s.Run(MakeLoss(), Jumps());
  const CtmLossResult weighted =
      s.Run(MakeLoss({.jump_weight_exponent = 2}), Jumps());
  const at::Tensor w = (plain.t / (plain.t - plain.s)).square();
  EXPECT_TRUE(at::allclose(weighted.consistency,
                           plain.consistency * w.to(at::kFloat), 1e-5));
}

TEST(CtmLossTest, DenoisingLossIsWeightedAsAsked) {
  Models s;
  const CtmDraws draws = Jumps();
  const CtmLossResult karras =
      s.Run(MakeLoss({.adaptive_weight = false}), draws);
  const CtmLossResult uniform = s.Run(
      MakeLoss({.dsm_weight = CmWeight::kUniform, .adaptive_weight = false}),
      draws);
  const at::Tensor w = draws.dsm_sigma.pow(-2) + 4;  // sd = 1/2
  EXPECT_TRUE(at::allclose(karras.denoising,
                           uniform.denoising * w.to(at::kFloat), 1e-5));
}

TEST(CtmLossTest, TargetWithoutInnerJumpIsTheAveragesJumpFromTheTeachersEnd) {
  Models m;
  const CtmLossResult r =
      m.Run(MakeLoss({.target_inner = CtmTargetInner::kNone}), Jumps());
  torch::NoGradGuard no_grad;
  EXPECT_TRUE(
      at::allclose(r.target, m.target.Jump(r.x_u, r.u, Eps(r)), 1e-5, 1e-6));
}

TEST(CtmLossTest, EstimateMayGoByWayOfTheTeachersEnd) {
  Models m;
  const CtmLossResult r =
      m.Run(MakeLoss({.estimate_via = CtmEstimateVia::kU}), Jumps());
  torch::NoGradGuard no_grad;
  const at::Tensor x_u = m.student.Jump(r.x_t, r.t, r.u);
  EXPECT_TRUE(
      at::allclose(r.estimate, m.target.Jump(x_u, r.u, Eps(r)), 1e-5, 1e-6));
}

TEST(CtmLossTest, GradientIsOfBothJumpsWhereTheStudentMakesBoth) {
  Models m;
  const CtmLossResult r =
      m.Run(MakeLoss({.estimate_outer = CtmEstimateOuter::kStudent,
                      .denoising_weight = 0}),
            Jumps());
  const at::Tensor gradient = m.LastGradient();
  const at::Tensor estimate =
      m.student.Jump(m.student.Jump(r.x_t, r.t, r.s), r.s, Eps(r));
  EXPECT_TRUE(at::allclose(r.estimate, estimate, 1e-5, 1e-6));
  const at::Tensor loss =
      MakeDistance({.name = "l2"}).value()->PerSample(estimate, r.target);
  const at::Tensor expected = torch::autograd::grad(
      {loss.mean()}, {m.student.denoiser().LastLayerWeight()})[0];
  EXPECT_TRUE(at::allclose(gradient, expected, 1e-4, 1e-6));
}

TEST(CtmLossTest, LeavesTargetAndTeacherWithoutGradients) {
  const CtmLoss loss = MakeLoss();
  Models s;
  s.Run(loss, loss.Draw(1, 0, Range(4), {1, 8, 8}));
  EXPECT_FALSE(s.target.denoiser().LastLayerWeight().grad().defined());
  EXPECT_FALSE(s.teacher->LastLayerWeight().grad().defined());
}

TEST(CtmLossTest, GradientsReachTheLayersOfTheSecondTime) {
  const CtmLoss loss = MakeLoss();
  Models s;
  s.Run(loss, loss.Draw(1, 0, Range(4), {1, 8, 8}));
  const at::Tensor grad = s.student.denoiser()
                              .named_parameters()["model.map_layer0_s.weight"]
                              .grad();
  EXPECT_GT(grad.norm().item<double>(), 0);
}

TEST(CtmLossOptionsTest, DefaultsAreValid) {
  EXPECT_THAT(CtmLossOptions{}.Validate(), IsOk());
}

TEST(CtmLossOptionsTest, RefusesAnExponentThatIsNoNumber) {
  EXPECT_THAT((CtmLossOptions{.jump_weight_exponent = NAN}).Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("jump_weight_exponent")));
}

TEST(CtmLossOptionsTest, RefusesMoreOdeStepsThanTheGridHas) {
  EXPECT_THAT(
      (CtmLossOptions{.num_times = 10, .max_ode_steps = 10}).Validate(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("max_ode_steps")));
}

}  // namespace
}  // namespace retort::distill
