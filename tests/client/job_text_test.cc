#include "client/job_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retort::client {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

v1::Job In(v1::Job::State state) {
  v1::Job job;
  job.set_name("projects/default/jobs/j");
  job.set_state(state);
  return job;
}

TEST(JobTextTest, OnlyACancelledJobIsSaidToBe) {
  EXPECT_EQ(CancelledText(In(v1::Job::STATE_CANCELLED)), "cancelled j");
  EXPECT_THAT(
      CancelledText(In(v1::Job::STATE_CANCELLING)),
      AllOf(StartsWith("asked j to end; it is cancelling"),
            HasSubstr("retort jobs watch j"), Not(HasSubstr("cancelled"))));
}

TEST(JobTextTest, HintsWorkInAnotherProject) {
  v1::Job job = In(v1::Job::STATE_PAUSED);
  job.set_name("projects/vision/jobs/j");
  EXPECT_THAT(PausedText(job),
              HasSubstr("retort jobs resume projects/vision/jobs/j"));
}

TEST(JobTextTest, OnlyAPausedJobIsSaidToBe) {
  EXPECT_EQ(PausedText(In(v1::Job::STATE_PAUSED)),
            "j is paused; go on with: retort jobs resume j");
  EXPECT_THAT(
      PausedText(In(v1::Job::STATE_PAUSING)),
      AllOf(StartsWith("asked j to pause; it is pausing"),
            HasSubstr("retort jobs pause j --wait"), Not(HasSubstr("paused"))));
}

TEST(JobTextTest, TriesAreExplainedIfThereWereSeveral) {
  v1::Job job;
  job.set_attempts(1);
  EXPECT_EQ(TriesText(job), "");
  job.set_attempts(4);
  EXPECT_THAT(TriesText(job),
              AllOf(StartsWith("4 (starts of its workers"),
                    HasSubstr("in a row without a new checkpoint"),
                    HasSubstr("\"try 1 of 3\"")));
}

TEST(JobTextTest, UndrainingSaysWhetherThereWasAnythingToUndo) {
  v1::Node node;
  node.set_name("n");
  node.set_usable(true);
  EXPECT_EQ(UndrainedText(node, false), "n: jobs may start there again");
  EXPECT_EQ(UndrainedText(node, true),
            "n was not drained; jobs may start there as before");
  node.set_usable(false);
  node.set_state_reason("down");
  EXPECT_EQ(UndrainedText(node, false), "n: no new job starts there; down");
  EXPECT_EQ(DrainedText(node), "n: no new job starts there; down");
}

}  // namespace
}  // namespace retort::client
