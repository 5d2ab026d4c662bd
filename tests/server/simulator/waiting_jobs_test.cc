#include "server/simulator/waiting_jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retort::simulator {
namespace {

using scheduler::JobClass;
using scheduler::QueuedJob;
using ::testing::ElementsAre;

const absl::Time kNow = absl::FromUnixSeconds(1000);

TEST(WaitingJobsTest, KeepsEachQueueByPriorityAndAge) {
  QueuedJob old{"old", 1}, young{"young", 2}, preferred{"preferred", 3, 1};
  WaitingJobs waiting(2);
  for (const QueuedJob* job : {&young, &preferred, &old}) {
    waiting.Add(1, JobClass::kLow, job, kNow);
  }
  const auto queue = waiting.queues()[3];
  EXPECT_EQ(queue.project, 1);
  EXPECT_EQ(queue.job_class, JobClass::kLow);
  EXPECT_THAT(queue.jobs, ElementsAre(&preferred, &old, &young));
  EXPECT_EQ(waiting.size(), 3);
}

TEST(WaitingJobsTest, KnowsSinceWhenTheFirstIsTheFirst) {
  QueuedJob a{"a", 1}, b{"b", 2}, c{"c", 3};
  WaitingJobs waiting(1);
  const auto since = [&] { return waiting.queues()[1].head_since - kNow; };
  waiting.Add(0, JobClass::kNormal, &b, kNow + absl::Seconds(1));
  waiting.Add(0, JobClass::kNormal, &c, kNow + absl::Seconds(2));
  EXPECT_EQ(since(), absl::Seconds(1));
  waiting.Add(0, JobClass::kNormal, &a, kNow + absl::Seconds(3));
  EXPECT_EQ(since(), absl::Seconds(3));
  waiting.Remove(0, JobClass::kNormal, &c, kNow + absl::Seconds(4));
  EXPECT_EQ(since(), absl::Seconds(3));
  waiting.Remove(0, JobClass::kNormal, &a, kNow + absl::Seconds(5));
  EXPECT_EQ(since(), absl::Seconds(5));
  EXPECT_EQ(waiting.size(), 1);
}

}  // namespace
}  // namespace retort::simulator
