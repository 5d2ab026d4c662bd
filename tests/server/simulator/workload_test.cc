#include "server/simulator/workload.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "server/scheduler/policy.h"

namespace retort::simulator {
namespace {

const absl::Time kFirst = absl::FromUnixSeconds(1000);

Workload Make(uint64_t seed = 1) {
  WorkloadOptions options;
  options.seed = seed;
  options.backlog = 20000;
  return MakeWorkload(options, kFirst);
}

TEST(WorkloadTest, IsTheSameForTheSameSeed) {
  const Workload a = Make(), b = Make(), c = Make(2);
  ASSERT_EQ(a.jobs.size(), b.jobs.size());
  int different = 0;
  for (size_t i = 0; i < 20000; ++i) {
    EXPECT_EQ(a.jobs[i].work, b.jobs[i].work);
    EXPECT_EQ(a.jobs[i].queued.gang.ranks, b.jobs[i].queued.gang.ranks);
    different += a.jobs[i].work != c.jobs[i].work ? 1 : 0;
  }
  EXPECT_GT(different, 19000);
}

TEST(WorkloadTest, JobsAreInOrderFitAndEndWithinTheirLimits) {
  const Workload workload = Make();
  EXPECT_EQ(workload.nodes.size(), 1250);
  absl::Time last = kFirst;
  for (size_t i = 0; i < workload.jobs.size(); ++i) {
    const SimulatedJob& job = workload.jobs[i];
    EXPECT_EQ(job.queued.seq, static_cast<int64_t>(i));
    EXPECT_GE(job.submitted, last);
    last = job.submitted;
    EXPECT_LE(job.work, job.queued.time_limit);
    EXPECT_EQ(
        scheduler::WhyNever(workload.nodes,
                            workload.projects[job.project].project, job.queued),
        std::nullopt);
  }
  // 200 an hour for five days.
  EXPECT_NEAR(static_cast<double>(workload.jobs.size()), 20000 + 24000, 600);
}

TEST(WorkloadTest, SizesHaveAHeavyTail) {
  std::map<bool, int> large;
  int64_t gpus = 0, large_gpus = 0;
  for (const SimulatedJob& job : Make().jobs) {
    const int size = job.queued.gang.gpus();
    gpus += size;
    if (size >= 256) large_gpus += size;
    ++large[size >= 256];
  }
  // P(size >= 256) = 0.4 / 32, less those cut down; nearly half of the GPUs.
  EXPECT_NEAR(large[true] / 44000.0, 0.0115, 0.002);
  EXPECT_NEAR(static_cast<double>(large_gpus) / static_cast<double>(gpus), 0.44,
              0.05);
}

}  // namespace
}  // namespace retort::simulator
