#include "server/job_estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "server/base/error.h"
#include "tests/support/fake_models.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort {
namespace {

using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

class JobEstimateTest : public ::testing::Test {
 protected:
  JobEstimateTest() {
    models_.Add("projects/p/models/t", v1::Model::KIND_TEACHER);
    spec_.mutable_distill()->set_teacher("projects/p/models/t");
  }

  // Estimates with a worker that runs `script`; its last argument is $4.
  absl::StatusOr<v1::JobEstimate> Estimate(const std::string& script,
                                           bool measure = false,
                                           bool stop = false) {
    const std::string worker = dir_ / "worker";
    std::ofstream(worker) << "#!/bin/sh\n" << script << "\n";
    ::chmod(worker.c_str(), 0755);
    return EstimateJob(worker, &models_, spec_, measure, [=] { return stop; });
  }

  retort::testing::TempDir dir_;
  retort::testing::FakeModels models_;
  v1::JobSpec spec_;
};

TEST_F(JobEstimateTest, GivesTheWorkerSpecAndFoldersAndReadsItsAnswer) {
  const std::string seen = dir_ / "seen";
  RETORT_ASSERT_OK_AND_ASSIGN(
      const v1::JobEstimate estimate,
      Estimate("printf '%s' \"$4\" > " + seen +
                   "\necho '{\"ok\": true, \"estimate\": {\"parameters\": "
                   "\"55733891\", \"seconds_per_step\": 1.5}}'",
               /*measure=*/true));
  EXPECT_EQ(estimate.parameters(), 55733891);
  EXPECT_EQ(estimate.seconds_per_step(), 1.5);
  std::string request;
  std::getline(std::ifstream(seen), request);
  EXPECT_THAT(
      request,
      AllOf(
          HasSubstr("\"measure\":true"),
          HasSubstr("\"projects/p/models/t\":\"/models/projects/p/models/t\""),
          HasSubstr("\"distill\":{")));
}

TEST_F(JobEstimateTest, PassesOnWhatTheWorkerFound) {
  const absl::Status bad =
      Estimate("echo '{\"ok\": false, \"code\": 3, \"error\": \"no head\"}'")
          .status();
  EXPECT_THAT(
      bad, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no head")));
  EXPECT_EQ(service::ReasonOf(bad), v1::ERROR_REASON_SPEC_INVALID);
  EXPECT_THAT(
      Estimate("echo '{\"ok\": false, \"code\": 8, \"error\": \"small\"}'"),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("small")));
}

TEST_F(JobEstimateTest, AWorkerThatDiesIsAnError) {
  EXPECT_THAT(
      Estimate("kill -9 $$"),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("signal 9")));
  EXPECT_THAT(Estimate("echo '[]'"),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Estimate("echo '{\"ok\": \"yes\"}'"),
              StatusIs(absl::StatusCode::kInternal));
}

TEST_F(JobEstimateTest, IsStoppedWhenNobodyWaits) {
  EXPECT_THAT(Estimate("sleep 100", true, /*stop=*/true),
              StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(JobEstimateTest, AMissingModelIsNotFound) {
  spec_.mutable_distill()->set_teacher("projects/p/models/gone");
  EXPECT_THAT(Estimate("true"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace retort
