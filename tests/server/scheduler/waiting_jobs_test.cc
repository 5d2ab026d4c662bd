#include "server/scheduler/waiting_jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retort::scheduler {
namespace {

using ::testing::ElementsAre;

using Job = std::shared_ptr<const QueuedJob>;

Job Make(const QueuedJob& job) { return std::make_shared<QueuedJob>(job); }

const absl::Time kBegin = absl::FromUnixSeconds(1000);

TEST(WaitingJobsTest, KeepsEachQueueByPriorityAndAge) {
  const Job old = Make({"old", 1}), young = Make({"young", 2}),
            preferred = Make({"preferred", 3, 1});
  WaitingJobs waiting;
  for (const Job& job : {young, preferred, old}) {
    waiting.Add(1, JobClass::kLow, job, kBegin);
  }
  const Queue queue = waiting.queues()[3];
  EXPECT_EQ(queue.project, 1);
  EXPECT_EQ(queue.job_class, JobClass::kLow);
  EXPECT_THAT(queue.jobs, ElementsAre(preferred.get(), old.get(), young.get()));
  EXPECT_EQ(waiting.size(), 3);
  EXPECT_EQ(waiting.size(1), 3);
  EXPECT_EQ(waiting.size(0), 0);
}

TEST(WaitingJobsTest, ACopyKeepsWhatTheOriginalLoses) {
  WaitingJobs waiting;
  Job job = Make({"a", 1});
  waiting.Add(0, JobClass::kNormal, job, kBegin);
  const WaitingJobs copy = waiting;
  waiting.Remove(0, JobClass::kNormal, job.get(), kBegin);
  job.reset();
  const std::vector<Queue> queues = copy.queues();
  ASSERT_EQ(queues[1].jobs.size(), 1u);
  EXPECT_EQ(queues[1].jobs[0]->name, "a");
}

TEST(WaitingJobsTest, KnowsSinceWhenTheFirstIsTheFirst) {
  const Job a = Make({"a", 1}), b = Make({"b", 2}), c = Make({"c", 3});
  WaitingJobs waiting;
  const auto since = [&] { return waiting.queues()[1].head_since - kBegin; };
  waiting.Add(0, JobClass::kNormal, b, kBegin + absl::Seconds(1));
  waiting.Add(0, JobClass::kNormal, c, kBegin + absl::Seconds(2));
  EXPECT_EQ(since(), absl::Seconds(1));
  waiting.Add(0, JobClass::kNormal, a, kBegin + absl::Seconds(3));
  EXPECT_EQ(since(), absl::Seconds(3));
  waiting.Remove(0, JobClass::kNormal, c.get(), kBegin + absl::Seconds(4));
  EXPECT_EQ(since(), absl::Seconds(3));
  waiting.Remove(0, JobClass::kNormal, a.get(), kBegin + absl::Seconds(5));
  EXPECT_EQ(since(), absl::Seconds(5));
  EXPECT_EQ(waiting.size(), 1);
}

}  // namespace
}  // namespace retort::scheduler
