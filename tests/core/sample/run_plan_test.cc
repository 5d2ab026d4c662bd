// Samplers on Gaussian data N(0, v), where the ODE's solution is known:
// x_s = x_t sqrt((v + s^2) / (v + t^2)).

#include "core/sample/run_plan.h"

#include <cmath>

#include "core/math/counter_random.h"
#include "core/math/heun.h"
#include "tests/support/status_matchers.h"

namespace retort::sample {
namespace {

using ::retort::testing::StatusIs;

constexpr double kVariance = 0.3;

at::Tensor ExactJump(const at::Tensor& x, const at::Tensor& t,
                     const at::Tensor& s) {
  const at::Tensor ratio =
      ((kVariance + s.square()) / (kVariance + t.square())).sqrt();
  return x * ratio.view({-1, 1});
}

at::Tensor Normal(uint64_t draw, int64_t n) {
  const int64_t index[] = {0};
  return math::NormalPerSample(
             math::MakeStream(11, math::RandomStream::kSampleNoise, draw),
             index, {n, 1})[0]
      .to(at::kDouble);
}

at::Tensor NormalLike(uint64_t draw, const at::Tensor& x) {
  return Normal(draw, x.size(0));
}

SamplePlan Plan(Solver solver, int64_t steps, double gamma) {
  PlanOptions options;
  options.solver = solver;
  options.steps = steps;
  options.gamma = gamma;
  auto plan = MakePlan(options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *plan;
}

TEST(RunPlanTest, ExactJumpsGiveTheDatasVarianceForEveryGamma) {
  constexpr int64_t kN = 40000;
  for (double gamma : {0.0, 0.5, 1.0}) {
    RETORT_ASSERT_OK_AND_ASSIGN(at::Tensor x,
                                RunPlan(Plan(Solver::kTrajectory, 4, gamma),
                                        Normal(0, kN), ExactJump, NormalLike));
    // Five standard errors of a variance: 5 v sqrt(2 / n).
    EXPECT_NEAR(x.var().item<double>(), kVariance,
                5 * kVariance * std::sqrt(2.0 / kN));
    EXPECT_NEAR(x.mean().item<double>(), 0, 5 * std::sqrt(kVariance / kN));
  }
}

TEST(RunPlanTest, DeterministicJumpsEndWhereOneJumpEnds) {
  const at::Tensor z = Normal(0, 10);
  RETORT_ASSERT_OK_AND_ASSIGN(
      at::Tensor one,
      RunPlan(Plan(Solver::kTrajectory, 1, 0), z, ExactJump, NormalLike));
  RETORT_ASSERT_OK_AND_ASSIGN(
      at::Tensor many,
      RunPlan(Plan(Solver::kTrajectory, 7, 0), z, ExactJump, NormalLike));
  EXPECT_TRUE(at::allclose(one, many, 1e-12, 1e-13));
}

TEST(RunPlanTest, HeunMatchesTheSolverInMathWithAndWithoutChurn) {
  const math::Denoiser denoise = [](const at::Tensor& x,
                                    const at::Tensor& sigma) {
    return x * (kVariance / (kVariance + sigma.square())).view({-1, 1});
  };
  for (double churn : {0.0, 6.0}) {
    PlanOptions options;
    options.solver = Solver::kHeun;
    options.steps = 12;
    options.s_churn = churn;
    options.s_noise = 1.01;
    math::HeunOptions reference;
    reference.num_steps = 12;
    reference.s_churn = churn;
    reference.s_noise = 1.01;
    reference.noise = [](int64_t step, const at::Tensor& x) {
      return NormalLike(step + 1, x);
    };
    RETORT_ASSERT_OK_AND_ASSIGN(SamplePlan plan, MakePlan(options));
    RETORT_ASSERT_OK_AND_ASSIGN(
        at::Tensor x,
        RunPlan(
            plan, Normal(0, 9),
            [&](const at::Tensor& y, const at::Tensor& t, const at::Tensor& u) {
              return math::HeunStep(denoise, y, t, u);
            },
            NormalLike));
    EXPECT_TRUE(at::allclose(
        x, math::HeunSample(denoise, Normal(0, 9), reference), 1e-11, 1e-12));
  }
}

TEST(RunPlanTest, StopsBetweenJumps) {
  int jumps = 0;
  RunOptions options;
  options.stop = [&] { return jumps == 2; };
  const auto result = RunPlan(
      Plan(Solver::kTrajectory, 5, 0), Normal(0, 2),
      [&](const at::Tensor& x, const at::Tensor& t, const at::Tensor& s) {
        ++jumps;
        return ExactJump(x, t, s);
      },
      NormalLike, options);
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(jumps, 2);
}

TEST(RunPlanTest, KeepsFloat64WhateverTheStepReturns) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      at::Tensor x,
      RunPlan(
          Plan(Solver::kConsistency, 2, 0), Normal(0, 2),
          [](const at::Tensor& y, const at::Tensor& t, const at::Tensor& s) {
            EXPECT_EQ(y.scalar_type(), at::kDouble);
            return ExactJump(y, t, s).to(at::kFloat);
          },
          NormalLike));
  EXPECT_EQ(x.scalar_type(), at::kDouble);
}

TEST(RunPlanTest, ClampsAfterEachJumpIfAsked) {
  RunOptions options;
  options.clip_denoised = true;
  RETORT_ASSERT_OK_AND_ASSIGN(
      at::Tensor x, RunPlan(
                        Plan(Solver::kConsistency, 2, 0), Normal(0, 50),
                        [](const at::Tensor& y, const at::Tensor&,
                           const at::Tensor&) { return y; },
                        NormalLike, options));
  EXPECT_LE(x.abs().max().item<double>(), 1);
}

}  // namespace
}  // namespace retort::sample
