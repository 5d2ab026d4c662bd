#include "core/sample/sample_plan.h"

#include <cmath>

#include "tests/support/status_matchers.h"

namespace retort::sample {
namespace {

using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

PlanOptions Trajectory(int64_t steps, double gamma) {
  PlanOptions options;
  options.solver = Solver::kTrajectory;
  options.steps = steps;
  options.gamma = gamma;
  return options;
}

void ExpectPlanRefused(const PlanOptions& options, const char* why) {
  EXPECT_THAT(MakePlan(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)));
}

TEST(SamplePlanTest, OneStepJumpsFromSigmaMaxToSigmaMin) {
  for (Solver solver : {Solver::kConsistency, Solver::kTrajectory}) {
    PlanOptions options;
    options.solver = solver;
    RETORT_ASSERT_OK_AND_ASSIGN(SamplePlan plan, MakePlan(options));
    ASSERT_EQ(plan.steps.size(), 1);
    EXPECT_EQ(plan.first_sigma, 80);
    EXPECT_EQ(plan.steps[0].from, 80);
    EXPECT_EQ(plan.steps[0].to, 0.002);
    EXPECT_EQ(plan.steps[0].noise, 0);
  }
}

TEST(SamplePlanTest, DefaultTimesAreTheGridWithOneNodeMoreThanSteps) {
  RETORT_ASSERT_OK_AND_ASSIGN(SamplePlan plan, MakePlan(Trajectory(4, 0)));
  const std::vector<double> grid = math::TimeGrid({}, 5);
  ASSERT_EQ(plan.steps.size(), 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(plan.steps[i].from, grid[i]);
    EXPECT_NEAR(plan.steps[i].to, grid[i + 1], 1e-14);
    EXPECT_EQ(plan.steps[i].noise, 0);
  }
}

TEST(SamplePlanTest, GammaSplitsTheWayBetweenJumpAndNoise) {
  PlanOptions options = Trajectory(0, 0.6);
  options.times = {80, 2};
  RETORT_ASSERT_OK_AND_ASSIGN(SamplePlan plan, MakePlan(options));
  const double s = 0.8 * (2 - 0.002) + 0.002;
  EXPECT_NEAR(plan.steps[0].to, s, 1e-14);
  // Variances add up to the next time's.
  EXPECT_NEAR(plan.steps[1].noise, std::sqrt(4 - s * s), 1e-14);
  EXPECT_EQ(plan.steps[1].from, 2);
  EXPECT_EQ(plan.steps[1].to, 0.002);
}

TEST(SamplePlanTest, GammaOneIsTheConsistencyModelsSampler) {
  PlanOptions cm;
  cm.steps = 3;
  RETORT_ASSERT_OK_AND_ASSIGN(SamplePlan a, MakePlan(cm));
  RETORT_ASSERT_OK_AND_ASSIGN(SamplePlan b, MakePlan(Trajectory(3, 1)));
  ASSERT_EQ(a.steps.size(), b.steps.size());
  for (size_t i = 0; i < a.steps.size(); ++i) {
    EXPECT_EQ(a.steps[i].noise, b.steps[i].noise);
    EXPECT_EQ(a.steps[i].from, b.steps[i].from);
    EXPECT_EQ(a.steps[i].to, 0.002);
  }
}

TEST(SamplePlanTest, HeunEndsAtZeroAndCallsTheNetworkTwiceButOnce) {
  PlanOptions options;
  options.solver = Solver::kHeun;
  options.steps = 18;
  RETORT_ASSERT_OK_AND_ASSIGN(SamplePlan plan, MakePlan(options));
  EXPECT_EQ(plan.steps.back().from, 0.002);
  EXPECT_EQ(plan.steps.back().to, 0);
  EXPECT_EQ(plan.NetworkCalls(), 35);
  RETORT_ASSERT_OK_AND_ASSIGN(SamplePlan jumps, MakePlan(Trajectory(4, 0.5)));
  EXPECT_EQ(jumps.NetworkCalls(), 4);
}

TEST(SamplePlanTest, ChurnRaisesTheNoiseOfItsWindowOnly) {
  PlanOptions options;
  options.solver = Solver::kHeun;
  options.times = {80, 10, 1};
  options.s_churn = 0.3;
  options.s_min = 5;
  options.s_max = 50;
  RETORT_ASSERT_OK_AND_ASSIGN(SamplePlan plan, MakePlan(options));
  EXPECT_EQ(plan.steps[0].noise, 0);
  EXPECT_NEAR(plan.steps[1].from, 11, 1e-13);
  EXPECT_NEAR(plan.steps[1].noise, std::sqrt(121.0 - 100.0), 1e-12);
  EXPECT_EQ(plan.steps[2].noise, 0);
}

TEST(SamplePlanTest, RefusesTimesThatDoNotFall) {
  PlanOptions options;
  options.times = {80, 1, 1};
  ExpectPlanRefused(options, "times must fall");
  options.times = {81};
  ExpectPlanRefused(options, "sigma_max = 80");
  options.times = {std::nan("")};
  ExpectPlanRefused(options, "times[0]");
}

TEST(SamplePlanTest, RefusesTheEndPointAmongTheTimesAndSaysWhy) {
  PlanOptions options;
  options.times = {80, 0.002};
  ExpectPlanRefused(options, "the last step's end is not listed");
}

TEST(SamplePlanTest, RefusesOptionsOfAnotherSolver) {
  PlanOptions options;
  options.gamma = 0.5;
  ExpectPlanRefused(options, "gamma");
  options.gamma = 0;
  options.s_churn = 1;
  ExpectPlanRefused(options, "s_churn");
  ExpectPlanRefused(Trajectory(2, 1.5), "between 0 and 1");
  ExpectPlanRefused(Trajectory(-1, 0), "steps = -1");
  ExpectPlanRefused(Trajectory(kMaxSteps + 1, 0), "4096");
}

TEST(SamplePlanTest, RefusesStepsThatContradictTheTimes) {
  PlanOptions options;
  options.steps = 3;
  options.times = {80, 1};
  ExpectPlanRefused(options, "there are 2 times");
}

}  // namespace
}  // namespace retort::sample
