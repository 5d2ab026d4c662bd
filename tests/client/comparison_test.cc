#include "client/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/call_status.h"
#include "tests/support/status_matchers.h"

namespace retort::client {
namespace {

using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

v1::Job Evaluation(const std::string& id) {
  v1::Job job;
  job.set_name("projects/p/jobs/" + id);
  job.set_state(v1::Job::STATE_SUCCEEDED);
  auto* spec = job.mutable_spec()->mutable_evaluate();
  spec->set_feature_extractor("projects/p/models/features");
  spec->set_samples(5000);
  spec->set_kept_features(100);
  return job;
}

void AddResult(v1::Job* job, const std::string& metric, int steps, double value,
               const std::string& setup) {
  v1::EvaluationResult* result = job->add_results();
  result->set_metric(metric);
  result->set_steps(steps);
  result->set_value(value);
  result->set_setup(setup);
}

TEST(ComparisonTest, PutsMetricsSideBySide) {
  v1::Job a = Evaluation("a");
  AddResult(&a, "FD-FMNIST", 2, 10, "s");
  AddResult(&a, "FD-FMNIST", 1, 20, "s");
  AddResult(&a, "KID-FMNIST", 1, 0.5, "k");
  v1::Job b = Evaluation("b");
  AddResult(&b, "FD-FMNIST", 1, 15, "s");
  b.mutable_results(0)->set_seeds(2);
  b.mutable_results(0)->set_low(14);
  b.mutable_results(0)->set_high(16);
  RETORT_ASSERT_OK_AND_ASSIGN(const Comparison comparison, Compare({a, b}));
  EXPECT_EQ(comparison.ToTable().ToString(),
            "METRIC      STEPS  a    b\n"
            "FD-FMNIST   1      20   15 [14, 16]\n"
            "FD-FMNIST   2      10   -\n"
            "KID-FMNIST  1      0.5  -\n");
  const nlohmann::json json = comparison.ToJson();
  EXPECT_EQ(json["rows"][0]["results"][1]["high"], 16);
  EXPECT_TRUE(json["rows"][1]["results"][1].is_null());
}

TEST(ComparisonTest, RefusesUnlikeSetupsAndSaysWhatDiffers) {
  v1::Job a = Evaluation("a");
  AddResult(&a, "FD-FMNIST", 1, 10, "s");
  v1::Job b = Evaluation("b");
  b.mutable_spec()->mutable_evaluate()->set_samples(2000);
  b.mutable_spec()->mutable_evaluate()->set_feature_extractor(
      "projects/p/models/inception");
  b.mutable_spec()->mutable_evaluate()->set_kept_features(7);  // not of FD
  AddResult(&b, "FD-inception", 1, 10, "other");
  const absl::Status status = Compare({a, b}).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                               AllOf(HasSubstr("samples (5000 and 2000)"),
                                     HasSubstr("(features and inception)"),
                                     HasSubstr("FD of a and of b"),
                                     Not(HasSubstr("kept_features")))));
  EXPECT_EQ(ExitCodeOf(status), kExitInvalid);
}

TEST(ComparisonTest, RefusesUnlikeContentBehindEqualSpecs) {
  v1::Job a = Evaluation("a");
  AddResult(&a, "KID-FMNIST", 1, 10, "s");
  v1::Job b = Evaluation("b");
  AddResult(&b, "KID-FMNIST", 1, 10, "other");
  EXPECT_THAT(Compare({a, b}), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("extractor's weights")));
}

TEST(ComparisonTest, TakesOneExtractorUnderTwoNames) {
  v1::Job a = Evaluation("a");
  AddResult(&a, "FD-x", 1, 10, "s");
  v1::Job b = Evaluation("b");
  AddResult(&b, "FD-y", 1, 11, "s");
  RETORT_ASSERT_OK_AND_ASSIGN(const Comparison comparison, Compare({a, b}));
  EXPECT_EQ(comparison.rows.size(), 1);
}

TEST(ComparisonTest, RefusesJobsWithoutComparableResults) {
  v1::Job running = Evaluation("r");
  running.set_state(v1::Job::STATE_RUNNING);
  EXPECT_THAT(Compare({running, running}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("no results; it is running")));
  v1::Job training;
  training.set_name("projects/p/jobs/t");
  training.mutable_spec()->mutable_distill();
  EXPECT_THAT(Compare({training}), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr("no evaluation")));
  v1::Job old = Evaluation("o");
  AddResult(&old, "FD-FMNIST", 1, 10, "");
  EXPECT_THAT(Compare({old, old}), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr("older version")));
}

}  // namespace
}  // namespace retort::client
