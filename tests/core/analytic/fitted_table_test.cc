#include "core/analytic/fitted_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>
#include <memory>
#include <vector>

#include "core/analytic/gaussian_source.h"
#include "core/analytic/tabulated_jump.h"
#include "tests/support/status_matchers.h"

namespace retort::analytic {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;

constexpr FitTarget kTargets[] = {FitTarget::kState, FitTarget::kDenoiser};

const at::Tensor& FitVariances() {
  static const at::Tensor v =
      at::tensor({1.0, 0.3, 0.1, 0.02, 0.001}, at::kDouble);
  return v;
}

// Exact trajectories x_i ~ sqrt(v_i + t^2) of `count` noises: [N, count, d].
at::Tensor ExactStates(const at::Tensor& v, const std::vector<double>& times,
                       int64_t count) {
  torch::manual_seed(3);
  const at::Tensor z = at::randn({count, v.numel()}, at::kDouble);
  std::vector<at::Tensor> states;
  for (double t : times) states.push_back(z * (v + t * t).sqrt());
  return at::stack(states);
}

at::Tensor ExactDenoised(const at::Tensor& v, const at::Tensor& x, double t) {
  return x * v / (v + t * t);
}

// Moments of the exact trajectories.
TrajectoryMoments ExactMoments(const at::Tensor& v, int64_t n = 8) {
  TrajectoryMoments moments;
  moments.times = math::TimeGrid(math::NoiseSchedule(), n);
  moments.trajectories = 50;
  const at::Tensor x = ExactStates(v, moments.times, 50);
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < n; ++i) rows.push_back(x[i].flatten());
  for (int64_t i = 0; i < n; ++i) {
    rows.push_back(ExactDenoised(v, x[i], moments.times[i]).flatten());
  }
  const at::Tensor states = at::stack(rows);
  moments.gram = at::mm(states, states.t()) / x[0].numel();
  return moments;
}

// Least squares of y on two columns by LAPACK's QR.
std::pair<double, double> BruteForce(const at::Tensor& first,
                                     const at::Tensor& second,
                                     const at::Tensor& y) {
  const at::Tensor columns = at::stack({first.flatten(), second.flatten()}, 1);
  const at::Tensor solution = std::get<0>(at::linalg_lstsq(
      columns, y.flatten().unsqueeze(1), std::nullopt, "gelsd"));
  return {solution[0].item<double>(), solution[1].item<double>()};
}

TEST(FittedTableTest, SolvesTheLeastSquaresProblemsOfBothTargets) {
  const TrajectoryMoments moments = ExactMoments(FitVariances());
  const auto table = FittedTable::Fit(moments).value();
  EXPECT_EQ(table->replaced_pairs(), 0);
  const at::Tensor x = ExactStates(FitVariances(), moments.times, 50);
  for (int64_t i = 0; i < 8; ++i) {
    const at::Tensor d = ExactDenoised(FitVariances(), x[i], moments.times[i]);
    for (int64_t j = i + 1; j < 8; ++j) {
      const JumpCoefficients state = table->Pair(FitTarget::kState, i, j);
      // x_j - x_i on (x_i, D - x_i), for QR's sake; then back to (a, b).
      const auto [sum, b] = BruteForce(x[i], d - x[i], x[j] - x[i]);
      EXPECT_NEAR(state.b, b, 1e-5 * std::abs(b)) << i << " " << j;
      EXPECT_NEAR(state.a, 1 + sum - b, 1e-5) << i << " " << j;
      const JumpCoefficients den = table->Pair(FitTarget::kDenoiser, i, j);
      const auto [p, q] = BruteForce(x[j] - x[i], x[i], d);
      EXPECT_NEAR(den.b, 1 / p, 1e-5 / p) << i << " " << j;
      EXPECT_NEAR(den.a, (p - q) / p, 1e-5) << i << " " << j;
    }
  }
}

TEST(FittedTableTest, NoOtherPairHasASmallerStateGap) {
  const TrajectoryMoments moments = ExactMoments(FitVariances());
  const auto table = FittedTable::Fit(moments).value();
  const JumpCoefficients best = table->Pair(FitTarget::kState, 1, 5);
  const double gap = moments.StateGap(1, 5, best.a, best.b);
  for (double da : {-1e-3, 0.0, 1e-3}) {
    for (double db : {-1e-3, 0.0, 1e-3}) {
      EXPECT_LE(gap, moments.StateGap(1, 5, best.a + da, best.b + db) + 1e-12);
    }
  }
  const double t = moments.times[1], s = moments.times[5];
  EXPECT_LT(gap, moments.StateGap(1, 5, s / t, 1 - s / t));
}

TEST(FittedTableTest, StateGapIsTheRootMeanSquareError) {
  const TrajectoryMoments moments = ExactMoments(FitVariances());
  const at::Tensor x = ExactStates(FitVariances(), moments.times, 50);
  const at::Tensor d = ExactDenoised(FitVariances(), x[2], moments.times[2]);
  const at::Tensor error = 0.3 * x[2] + 0.8 * d - x[6];
  EXPECT_NEAR(moments.StateGap(2, 6, 0.3, 0.8),
              std::sqrt(error.square().mean().item<double>()), 1e-12);
}

TEST(FittedTableTest, IsTheIdentityAtEqualTimesAndContinuousNearby) {
  const auto table = FittedTable::Fit(ExactMoments(FitVariances())).value();
  for (FitTarget target : kTargets) {
    for (double t : {80.0, 31.0, 1.234, 0.002}) {
      EXPECT_EQ(table->At(target, t, t).a, 1.0);
      EXPECT_EQ(table->At(target, t, t).b, 0.0);
    }
    // ctm's slope on the diagonal: da/dlambda_s = -1, db/dlambda_s = 1.
    const JumpCoefficients near = table->At(target, 1.0, 1 - 1e-6);
    EXPECT_NEAR((near.a - 1) / 1e-6, -1, 1e-4);
    EXPECT_NEAR(near.b / 1e-6, 1, 1e-4);
  }
}

TEST(FittedTableTest, HasNoStepsBetweenItsCells) {
  const auto table = FittedTable::Fit(ExactMoments(FitVariances())).value();
  const double knot = table->moments().times[3];
  for (FitTarget target : kTargets) {
    for (double t : {knot, 40.0}) {
      const auto above = table->At(target, t, knot * (1 - 1e-9));
      const auto below = table->At(target, t * (1 + 1e-9), knot);
      EXPECT_NEAR(above.a, below.a, 1e-6);
      EXPECT_NEAR(above.b, below.b, 1e-6);
    }
  }
}

// g = 0: x and D are parallel and the 2x2 systems singular.
TEST(FittedTableTest, IsExactForTheIsotropicGaussian) {
  const double v = 0.25;
  const TrajectoryMoments moments = ExactMoments(at::full({5}, v, at::kDouble));
  const auto table = FittedTable::Fit(moments).value();
  for (int64_t i = 0; i < 8; ++i) {
    for (int64_t j = i + 1; j < 8; ++j) {
      const double t = moments.times[i], s = moments.times[j];
      const double exact = std::sqrt((v + s * s) / (v + t * t));
      const JumpCoefficients jump = table->Pair(FitTarget::kState, i, j);
      EXPECT_NEAR((jump.a + jump.b * v / (v + t * t)) / exact, 1, 1e-5);
    }
  }
}

TEST(FittedTableTest, RefusesWhatIsNoSetOfMoments) {
  TrajectoryMoments moments = ExactMoments(FitVariances());
  moments.times[2] = moments.times[1];
  EXPECT_THAT(FittedTable::Fit(moments).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  moments = ExactMoments(FitVariances());
  moments.gram = moments.gram.slice(0, 0, 3);
  EXPECT_THAT(FittedTable::Fit(moments).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(TrajectoryTest, FollowsTheExactTrajectoriesOfAGaussian) {
  TrajectoryOptions options;
  options.trajectories = 40;
  options.sub_steps = 8;
  options.batch = 16;
  const auto moments = CollectTrajectoryMoments(
      MakeGaussianSource(FitVariances()), math::NoiseSchedule(), options);
  ASSERT_THAT(moments, IsOk());
  EXPECT_EQ(moments->network_calls, 40 * (2 * 17 * 8 + 1));
  // On an exact trajectory every x_i is a fixed multiple of x_0 per
  // dimension, so x_j / x_0 has the moments of sqrt((v+s^2)/(v+t^2)); here
  // all the mass at large t is the same for every dimension.
  const at::Tensor g = moments->gram;
  const double t0 = moments->times[0];
  for (int64_t j : {4, 9, 17}) {
    const double t = moments->times[j];
    const at::Tensor v = FitVariances();
    const double cross =
        ((v + t0 * t0).sqrt() * (v + t * t).sqrt()).mean().item<double>();
    const double own = (v + t0 * t0).mean().item<double>();
    // 200 numbers: the ratio of two correlated means, to a few percent.
    EXPECT_NEAR(g[0][j].item<double>() / g[0][0].item<double>(), cross / own,
                0.25 * cross / own);
  }
}

TEST(TrajectoryTest, DoesNotDependOnTheBatchSize) {
  TrajectoryOptions options;
  options.trajectories = 10;
  options.grid = 5;
  const TeacherSource source = MakeGaussianSource(FitVariances());
  const auto whole =
      CollectTrajectoryMoments(source, math::NoiseSchedule(), options);
  options.batch = 3;
  const auto pieces =
      CollectTrajectoryMoments(source, math::NoiseSchedule(), options);
  ASSERT_THAT(whole, IsOk());
  ASSERT_THAT(pieces, IsOk());
  EXPECT_TRUE(at::allclose(whole->gram, pieces->gram, 1e-12, 1e-14));
}

// The fit of sampled trajectories against the same quantities from the
// population: data N(0, diag v), gap no worse than with population's (a, b).
TEST(TrajectoryTest, FitsJumpsBetterThanCtmOnFreshTrajectories) {
  TrajectoryOptions options;
  options.trajectories = 200;
  options.sub_steps = 4;
  const TeacherSource source = MakeGaussianSource(FitVariances());
  const math::NoiseSchedule schedule;
  auto moments = CollectTrajectoryMoments(source, schedule, options);
  ASSERT_THAT(moments, IsOk());
  const auto table = FittedTable::Fit(*std::move(moments)).value();
  options.seed = 1;
  const auto fresh = CollectTrajectoryMoments(source, schedule, options);
  ASSERT_THAT(fresh, IsOk());
  for (const auto& [i, j] : {std::pair{5, 10}, {10, 17}, {0, 8}, {3, 4}}) {
    const double t = fresh->times[i], s = fresh->times[j];
    const JumpCoefficients jump = table->At(FitTarget::kState, t, s);
    EXPECT_LT(fresh->StateGap(i, j, jump.a, jump.b),
              fresh->StateGap(i, j, s / t, 1 - s / t));
  }
}

}  // namespace
}  // namespace retort::analytic
