#include "server/scheduler/machine_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retort::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class MachinePolicyTest : public ::testing::Test {
 protected:
  MachinePolicyTest() {
    machine_.now = absl::FromUnixSeconds(1000);
    machine_.cpu_slots = 4;
  }
  WaitingJob& Queue(const std::string& name, int threads, int priority = 0) {
    machine_.waiting.push_back({name,
                                static_cast<int64_t>(machine_.waiting.size()),
                                priority, threads});
    return machine_.waiting.back();
  }
  MachineState machine_;
};

TEST_F(MachinePolicyTest, StartsJobsInOrderWhileTheyFit) {
  Queue("a", 2);
  Queue("b", 2);
  Queue("c", 1);
  EXPECT_THAT(DecideForMachine(machine_).start, ElementsAre("a", "b"));
}

TEST_F(MachinePolicyTest, CountsTheSlotsOfRunningJobs) {
  machine_.running = {{"x", 3}};
  Queue("a", 2);
  EXPECT_THAT(DecideForMachine(machine_).start, IsEmpty());
  machine_.running = {{"x", 2}};
  EXPECT_THAT(DecideForMachine(machine_).start, ElementsAre("a"));
}

TEST_F(MachinePolicyTest, StartsHigherPriorityFirstAndOlderFirstAmongEquals) {
  Queue("low", 1);
  Queue("high", 1, 5);
  Queue("low too", 1);
  EXPECT_THAT(DecideForMachine(machine_).start,
              ElementsAre("high", "low", "low too"));
}

TEST_F(MachinePolicyTest, DoesNotLetSmallJobsOvertakeALargeOne) {
  machine_.running = {{"x", 1}};
  Queue("large", 4);
  Queue("small", 1);
  EXPECT_THAT(DecideForMachine(machine_).start, IsEmpty());
}

TEST_F(MachinePolicyTest, RefusesWhatCanNeverRunAndGoesOn) {
  Queue("too large", 5);
  Queue("small", 1);
  const MachineDecision decision = DecideForMachine(machine_);
  ASSERT_THAT(decision.refuse, SizeIs(1));
  EXPECT_EQ(decision.refuse[0].name, "too large");
  EXPECT_THAT(decision.start, ElementsAre("small"));
}

TEST_F(MachinePolicyTest, RefusesBehindAJobThatWaits) {
  machine_.running = {{"x", 1}};
  Queue("large", 4);
  Queue("too large", 5);
  EXPECT_THAT(DecideForMachine(machine_).refuse, SizeIs(1));
}

TEST_F(MachinePolicyTest, StartsNothingBehindAJobThatWaitsThoughItMightFit) {
  machine_.running = {{"x", 3}};
  Queue("waits", 2);
  Queue("small", 1);
  EXPECT_THAT(DecideForMachine(machine_).start, IsEmpty());
}

TEST_F(MachinePolicyTest, LetsOthersPassAJobThatWaitsOutALoss) {
  const absl::Time later = machine_.now + absl::Seconds(8);
  Queue("unlucky", 4).not_before = later;
  Queue("other", 4);
  MachineDecision decision = DecideForMachine(machine_);
  EXPECT_THAT(decision.start, ElementsAre("other"));
  EXPECT_EQ(decision.wake, later);
  machine_.now = later;
  decision = DecideForMachine(machine_);
  EXPECT_THAT(decision.start, ElementsAre("unlucky"));
  EXPECT_EQ(decision.wake, absl::InfiniteFuture());
}

}  // namespace
}  // namespace retort::scheduler
