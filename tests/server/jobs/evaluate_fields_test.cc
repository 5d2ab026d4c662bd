#include "server/jobs/evaluate_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/status_matchers.h"

namespace retort::jobs {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::Status ResolveOf(v1::EvaluateSpec* spec) {
  if (spec->samples() == 0) spec->set_samples(5000);
  SpecProblems problems;
  ResolveMetrics(spec, &problems);
  return problems.ToStatus();
}

MATCHER_P2(IsRefused, field, text, "") {
  const std::string message(arg.message());
  return absl::IsInvalidArgument(arg) &&
         message.find(field) != std::string::npos &&
         message.find(text) != std::string::npos;
}

TEST(EvaluateFieldsTest, AreFilledIn) {
  v1::EvaluateSpec spec;
  ASSERT_THAT(ResolveOf(&spec), IsOk());
  EXPECT_THAT(spec.metrics(), ElementsAre(v1::EvaluateSpec::METRIC_FRECHET));
  EXPECT_EQ(spec.seeds(), 1);
  EXPECT_EQ(spec.kept_features(), 10000);
  EXPECT_EQ(spec.neighbours(), 3);
}

TEST(EvaluateFieldsTest, StayAsTheyAreIfGiven) {
  v1::EvaluateSpec spec;
  spec.add_metrics(v1::EvaluateSpec::METRIC_PRECISION_RECALL);
  spec.add_metrics(v1::EvaluateSpec::METRIC_KID);
  spec.set_seeds(5);
  spec.set_kept_features(50000);
  spec.set_neighbours(4999);
  const v1::EvaluateSpec before = spec;
  ASSERT_THAT(ResolveOf(&spec), IsOk());
  EXPECT_EQ(spec.metrics_size(), 2);
  EXPECT_EQ(spec.seeds(), before.seeds());
  EXPECT_EQ(spec.kept_features(), before.kept_features());
  EXPECT_EQ(spec.neighbours(), before.neighbours());
}

TEST(EvaluateFieldsTest, RefuseAMetricThatIsNoneOrThereTwice) {
  v1::EvaluateSpec spec;
  spec.add_metrics(v1::EvaluateSpec::METRIC_UNSPECIFIED);
  EXPECT_THAT(ResolveOf(&spec),
              IsRefused("evaluate.metrics", "METRIC_PRECISION_RECALL"));
  spec.clear_metrics();
  spec.add_metrics(static_cast<v1::EvaluateSpec::Metric>(77));
  EXPECT_THAT(ResolveOf(&spec), IsRefused("evaluate.metrics", "77"));
  spec.clear_metrics();
  spec.add_metrics(v1::EvaluateSpec::METRIC_KID);
  spec.add_metrics(v1::EvaluateSpec::METRIC_KID);
  EXPECT_THAT(ResolveOf(&spec),
              IsRefused("evaluate.metrics", "METRIC_KID twice"));
}

TEST(EvaluateFieldsTest, HaveBounds) {
  for (const int seeds : {-1, 101}) {
    v1::EvaluateSpec spec;
    spec.set_seeds(seeds);
    EXPECT_THAT(ResolveOf(&spec), IsRefused("evaluate.seeds", "[1, 100]"));
  }
  for (const int64_t kept : {int64_t{1}, int64_t{50001}, int64_t{1} << 40}) {
    v1::EvaluateSpec spec;
    spec.set_kept_features(kept);
    EXPECT_THAT(ResolveOf(&spec),
                IsRefused("evaluate.kept_features", "[2, 50000]"));
  }
}

TEST(EvaluateFieldsTest, RefuseSeedsThatCountBeyondTheLast) {
  v1::EvaluateSpec spec;
  spec.set_seed(std::numeric_limits<uint64_t>::max());
  EXPECT_THAT(ResolveOf(&spec), IsOk());
  spec.set_seeds(2);
  EXPECT_THAT(ResolveOf(&spec), IsRefused("evaluate.seed", "smaller"));
}

TEST(EvaluateFieldsTest, RefuseMoreNeighboursThanThereAreFeatures) {
  v1::EvaluateSpec spec;
  spec.set_samples(10);
  spec.set_neighbours(10);
  EXPECT_THAT(ResolveOf(&spec), IsOk());  // no metric asks for them
  spec.add_metrics(v1::EvaluateSpec::METRIC_PRECISION_RECALL);
  EXPECT_THAT(ResolveOf(&spec), IsRefused("evaluate.neighbours", "9 at most"));
  spec.set_neighbours(9);
  EXPECT_THAT(ResolveOf(&spec), IsOk());
  spec.set_neighbours(-1);
  EXPECT_THAT(ResolveOf(&spec), IsRefused("evaluate.neighbours", "is -1"));
}

}  // namespace
}  // namespace retort::jobs
