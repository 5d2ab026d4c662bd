#include "server/scheduler/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retort::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class PolicyTest : public ::testing::Test {
 protected:
  PolicyTest() {
    snapshot_.now = absl::FromUnixSeconds(1000);
    snapshot_.cpu_slots = 4;
  }
  QueuedJob& Queue(const std::string& name, int threads, int priority = 0) {
    snapshot_.queued.push_back({name,
                                static_cast<int64_t>(snapshot_.queued.size()),
                                priority, threads});
    return snapshot_.queued.back();
  }
  Snapshot snapshot_;
};

TEST_F(PolicyTest, StartsJobsInOrderWhileTheyFit) {
  Queue("a", 2);
  Queue("b", 2);
  Queue("c", 1);
  EXPECT_THAT(Decide(snapshot_).start, ElementsAre("a", "b"));
}

TEST_F(PolicyTest, CountsTheSlotsOfRunningJobs) {
  snapshot_.running = {{"x", 3}};
  Queue("a", 2);
  EXPECT_THAT(Decide(snapshot_).start, IsEmpty());
  snapshot_.running = {{"x", 2}};
  EXPECT_THAT(Decide(snapshot_).start, ElementsAre("a"));
}

TEST_F(PolicyTest, StartsHigherPriorityFirstAndOlderFirstAmongEquals) {
  Queue("low", 1);
  Queue("high", 1, 5);
  Queue("low too", 1);
  EXPECT_THAT(Decide(snapshot_).start, ElementsAre("high", "low", "low too"));
}

TEST_F(PolicyTest, DoesNotLetSmallJobsOvertakeALargeOne) {
  snapshot_.running = {{"x", 1}};
  Queue("large", 4);
  Queue("small", 1);
  EXPECT_THAT(Decide(snapshot_).start, IsEmpty());
}

TEST_F(PolicyTest, RefusesWhatCanNeverRunAndGoesOn) {
  Queue("too large", 5);
  Queue("small", 1);
  const Decision decision = Decide(snapshot_);
  ASSERT_THAT(decision.refuse, SizeIs(1));
  EXPECT_EQ(decision.refuse[0].name, "too large");
  EXPECT_THAT(decision.start, ElementsAre("small"));
}

TEST_F(PolicyTest, LetsOthersPassAJobThatWaitsOutALoss) {
  const absl::Time later = snapshot_.now + absl::Seconds(8);
  Queue("unlucky", 4).not_before = later;
  Queue("other", 4);
  Decision decision = Decide(snapshot_);
  EXPECT_THAT(decision.start, ElementsAre("other"));
  EXPECT_EQ(decision.wake, later);
  snapshot_.now = later;
  decision = Decide(snapshot_);
  EXPECT_THAT(decision.start, ElementsAre("unlucky"));
  EXPECT_EQ(decision.wake, absl::InfiniteFuture());
}

}  // namespace
}  // namespace retort::scheduler
