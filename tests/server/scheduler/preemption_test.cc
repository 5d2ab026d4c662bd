#include "server/scheduler/preemption.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/scheduler/cluster.h"

namespace retort::scheduler {
namespace {

using ::retort::testing::Cluster;
using ::retort::testing::kHigh;
using ::retort::testing::kLow;
using ::retort::testing::kNormal;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kUnknown = absl::InfiniteDuration();

class PreemptionTest : public ::testing::Test {
 protected:
  PreemptionTest() { c_.AddProject("alpha"); }
  // A gang on these nodes whose last checkpoint is so old.
  RunningGang& Prey(const std::string& name, const Placement& nodes,
                    absl::Duration age, JobClass job_class = kLow) {
    RunningGang& gang = c_.Run(name, nodes, kUnknown, job_class);
    gang.preemptible = true;
    gang.last_checkpoint = c_.now - age;
    return gang;
  }
  std::vector<std::string> Victims() {
    std::vector<std::string> names;
    for (const Preemption& p : c_.Decide().preempt) {
      names.push_back(p.victim->name);
    }
    return names;
  }
  Cluster c_{2, 8};
};

TEST_F(PreemptionTest, StopsTheGangsWithTheLeastLostWork) {
  Prey("fresh", {{0, 8}}, absl::Minutes(1));
  Prey("stale", {{1, 8}}, absl::Minutes(9));
  c_.Queue("urgent", 8, kUnknown, kHigh);
  const Decision decision = c_.Decide();
  ASSERT_THAT(decision.preempt, SizeIs(1));
  EXPECT_EQ(decision.preempt[0].victim->name, "fresh");
  EXPECT_EQ(decision.preempt[0].job->name, "urgent");
  EXPECT_THAT(decision.start, IsEmpty());
}

TEST_F(PreemptionTest, CountsLostWorkInGpuSecondsSinceCheckpointOrStart) {
  RunningGang& gang = Prey("x", {{0, 3}, {1, 1}}, absl::Seconds(5));
  EXPECT_EQ(LostWork(gang, c_.now, c_.options), 20);
  gang.last_checkpoint = absl::InfinitePast();
  EXPECT_EQ(LostWork(gang, c_.now, c_.options), 4 * 3600);
}

TEST_F(PreemptionTest, StopsNoMoreGangsThanNeeded) {
  Prey("small", {{0, 2}}, absl::Seconds(1));
  Prey("middle", {{0, 6}}, absl::Seconds(2));
  Prey("large", {{1, 8}}, absl::Seconds(9));
  QueuedJob& job = c_.Queue("urgent", 6, kUnknown, kHigh);
  job.gang.ranks_together = 6;
  // The small one alone makes no room, and is not needed beside the middle one.
  EXPECT_THAT(Victims(), ElementsAre("middle"));
  job.gang.ranks = 12;
  EXPECT_THAT(Victims(), ElementsAre("middle", "large"));
}

TEST_F(PreemptionTest, StopsNobodyIfThatDoesNotMakeRoomForAll) {
  Prey("prey", {{0, 8}}, absl::Seconds(1));
  c_.Run("other", {{1, 8}}, kUnknown, kLow);
  c_.Queue("urgent", 16, kUnknown, kHigh);
  EXPECT_THAT(Victims(), IsEmpty());
}

TEST_F(PreemptionTest, StopsOnlyGangsOfATrulyLowerClass) {
  Prey("equal", {{0, 8}}, absl::Seconds(1), kNormal);
  Prey("higher", {{1, 8}}, absl::Seconds(1), kHigh);
  c_.Queue("aged", 8);
  c_.HeadSince(0, kNormal) = c_.now - absl::Hours(1000);
  EXPECT_THAT(Victims(), IsEmpty());
}

TEST_F(PreemptionTest, LeavesAGangItsFirstMinutes) {
  Prey("young", {{0, 8}}, absl::Seconds(1)).start = c_.now - absl::Minutes(9);
  c_.Run("other", {{1, 8}});
  c_.Queue("urgent", 8, kUnknown, kHigh);
  const Decision decision = c_.Decide();
  EXPECT_THAT(decision.preempt, IsEmpty());
  EXPECT_EQ(decision.wake, c_.now + absl::Minutes(1));
  c_.now = decision.wake;
  EXPECT_THAT(Victims(), ElementsAre("young"));
}

TEST_F(PreemptionTest, AsksNobodyForWhatIsFreeSoonAnyway) {
  Prey("prey", {{0, 8}}, absl::Seconds(1));
  RunningGang& other = c_.Run("other", {{1, 8}}, absl::Seconds(120), kLow);
  c_.Queue("urgent", 8, kUnknown, kHigh);
  EXPECT_THAT(Victims(), IsEmpty());
  other.expected_end += absl::Seconds(1);
  EXPECT_THAT(Victims(), ElementsAre("prey"));
}

TEST_F(PreemptionTest, AsksForSeveralJobsAtOnceAndForNoneTwice) {
  Prey("a", {{0, 8}}, absl::Seconds(1));
  Prey("b", {{1, 8}}, absl::Seconds(2));
  c_.Queue("one", 8, kUnknown, kHigh);
  c_.Queue("two", 8, kUnknown, kHigh);
  c_.Queue("three", 8, kUnknown, kHigh);
  EXPECT_THAT(Victims(), ElementsAre("a", "b"));
}

TEST_F(PreemptionTest, KeepsForTheClaimWhatItWasPromised) {
  Prey("victim", {{0, 6}}, absl::Seconds(1)).stopping = true;
  c_.Run("other", {{1, 8}});
  QueuedJob& job = c_.Queue("urgent", 7, kUnknown, kHigh);
  c_.AddClaim(job, kHigh, 0, {{0, 7}});
  c_.Queue("rival", 2, absl::Seconds(1), kHigh);
  c_.Queue("small", 1, kUnknown, kLow);
  // One of the two free GPUs is the claim's; nobody is asked twice.
  EXPECT_THAT(Victims(), IsEmpty());
  EXPECT_THAT(c_.Started(), ElementsAre("small"));
  // When the victim has stopped, the claim starts before its rival.
  c_.gangs().pop_front();
  c_.nodes()[0].free = c_.nodes()[0].total;
  EXPECT_EQ(c_.Started()[0], "urgent");
}

TEST_F(PreemptionTest, SaysWhatItPromises) {
  Prey("prey", {{0, 8}}, absl::Seconds(1));
  c_.Run("other", {{1, 8}});
  c_.Queue("urgent", 5, kUnknown, kHigh);
  const Decision decision = c_.Decide();
  ASSERT_THAT(decision.promise, SizeIs(1));
  EXPECT_EQ(decision.promise[0].job->name, "urgent");
  EXPECT_THAT(decision.promise[0].nodes, ElementsAre(NodeRanks{0, 5}));
}

TEST_F(PreemptionTest, GivesAClaimOtherNodesIfItsOwnAreDown) {
  c_.nodes()[0].usable = false;
  QueuedJob& job = c_.Queue("urgent", 8, kUnknown, kHigh);
  c_.AddClaim(job, kHigh, 0, {{0, 8}});
  EXPECT_THAT(c_.Decide().start[0].nodes, ElementsAre(NodeRanks{1, 8}));
}

TEST_F(PreemptionTest, MakesRoomForHighBehindAnAgedHeadButNotOnItsNodes) {
  Prey("on its node", {{0, 4}}, absl::Seconds(1));
  c_.Run("stays", {{0, 4}}, absl::Hours(1));
  Prey("elsewhere", {{1, 4}}, absl::Seconds(9));
  c_.Run("stays too", {{1, 4}});
  c_.Queue("aged", 8, kUnknown, kLow);
  c_.HeadSince(0, kLow) = absl::InfinitePast();
  c_.Queue("normal", 4);
  EXPECT_THAT(Victims(), IsEmpty());
  c_.Queue("urgent", 4, kUnknown, kHigh);
  EXPECT_THAT(Victims(), ElementsAre("elsewhere"));
}

TEST_F(PreemptionTest, AGangKeepsTheClassThatItsWaitHadEarned) {
  c_.Queue("aged", 8, kUnknown, kLow);
  c_.HeadSince(0, kLow) = c_.now - c_.options.age_step;
  const Decision decision = c_.Decide();
  EXPECT_EQ(decision.start[0].job_class, kNormal);
  c_.HeadSince(0, kLow) = absl::InfinitePast();
  EXPECT_EQ(c_.Decide().start[0].job_class, kHigh);
}

TEST_F(PreemptionTest, DoesNotRelyOnVictimsOnANodeThatIsDown) {
  Prey("prey", {{0, 8}}, absl::Seconds(1));
  c_.Run("other", {{1, 8}}, kUnknown, kHigh);
  c_.nodes()[0].usable = false;
  c_.Queue("urgent", 8, kUnknown, kHigh);
  EXPECT_THAT(Victims(), IsEmpty());
}

}  // namespace
}  // namespace retort::scheduler
