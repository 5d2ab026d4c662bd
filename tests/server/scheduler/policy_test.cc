#include "server/scheduler/policy.h"

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
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Two nodes of eight GPUs, one project.
class PolicyTest : public ::testing::Test {
 protected:
  PolicyTest() { c_.AddProject("alpha"); }
  Cluster c_{2, 8};
};

TEST_F(PolicyTest, StartsAGangWholeOrNotAtAll) {
  c_.Run("x", {{0, 8}, {1, 1}});
  c_.Queue("gang", 8);
  EXPECT_THAT(c_.Started(), IsEmpty());
  c_.Queue("first", 7, absl::InfiniteDuration(), kHigh);
  EXPECT_THAT(c_.Decide().start[0].nodes, ElementsAre(NodeRanks{1, 7}));
}

TEST_F(PolicyTest, OrdersByClassThenByPriorityThenByAge) {
  c_.Queue("low", 1, absl::InfiniteDuration(), kLow).priority = 9;
  c_.Queue("old", 1);
  c_.Queue("new", 1);
  c_.Queue("preferred", 1).priority = 1;
  c_.Queue("high", 1, absl::InfiniteDuration(), kHigh);
  EXPECT_THAT(c_.Started(),
              ElementsAre("high", "preferred", "old", "new", "low"));
}

TEST_F(PolicyTest, GivesProjectsTurnsByUseAndWeight) {
  const int beta = c_.AddProject("beta", 3);
  for (int i = 0; i < 8; ++i) c_.Queue(absl::StrCat("a", i), 2);
  for (int i = 0; i < 8; ++i) {
    c_.Queue(absl::StrCat("b", i), 2, absl::InfiniteDuration(), kNormal, beta);
  }
  // One turn of alpha for three of beta.
  EXPECT_THAT(c_.Started(),
              ElementsAre("a0", "b0", "b1", "b2", "a1", "b3", "b4", "b5"));
}

TEST_F(PolicyTest, CountsWhatAProjectHasUsedAndWhatItRuns) {
  const int beta = c_.AddProject("beta");
  c_.Queue("a", 8);
  c_.Queue("b", 8, absl::InfiniteDuration(), kNormal, beta);
  c_.projects[0].usage = 1;
  EXPECT_THAT(c_.Started(), ElementsAre("b", "a"));
  c_.Run("x", {{0, 8}}, absl::InfiniteDuration(), kNormal, beta);
  EXPECT_THAT(c_.Started(), ElementsAre("a"));
}

TEST_F(PolicyTest, CountsAQueuesHeadAClassHigherForEachStepOfWaiting) {
  c_.Queue("high", 16, absl::InfiniteDuration(), kHigh);
  c_.Queue("low", 16, absl::InfiniteDuration(), kLow);
  c_.HeadSince(0, kLow) = c_.now - 3 * c_.options.age_step + absl::Seconds(1);
  c_.projects[0].weight = 2;
  EXPECT_THAT(c_.Started(), ElementsAre("high"));
  EXPECT_EQ(c_.Decide().wake, c_.now + absl::Seconds(1));
  c_.HeadSince(0, kLow) = c_.now - 3 * c_.options.age_step;
  EXPECT_THAT(c_.Started(), ElementsAre("low"));
}

TEST_F(PolicyTest, AgesTheHeadAlone) {
  c_.Queue("high", 8, absl::InfiniteDuration(), kHigh);
  c_.Queue("low", 8, absl::InfiniteDuration(), kLow);
  c_.Queue("low too", 8, absl::InfiniteDuration(), kLow);
  c_.HeadSince(0, kLow) = absl::InfinitePast();
  EXPECT_THAT(c_.Started(), ElementsAre("low", "high"));
}

TEST_F(PolicyTest, KeepsProjectsWithinTheirQuotaAndOthersGoOn) {
  const int beta = c_.AddProject("beta");
  c_.projects[0].quota.max_gpus = 6;
  c_.Run("x", {{0, 4}});
  c_.Queue("a4", 4);
  c_.Queue("a1", 1);  // would take what a4 waits for
  c_.Queue("b8", 8, absl::InfiniteDuration(), kLow, beta);
  EXPECT_THAT(c_.Started(), ElementsAre("b8"));
  c_.projects[0].quota.max_gpus = 8;
  c_.projects[0].quota.max_jobs = 2;
  EXPECT_THAT(c_.Started(), ElementsAre("a4", "b8"));
}

TEST_F(PolicyTest, CountsGpuHoursUsedRunningAndToCome) {
  Quota& quota = c_.projects[0].quota;
  quota.max_gpu_hours = 100;
  quota.used_gpu_hours = 60;
  quota.renews = c_.now + absl::Hours(200);
  c_.Run("x", {{0, 4}}, absl::Hours(5));  // 20 more
  c_.Queue("job", 4, absl::Hours(5));     // and 20
  EXPECT_THAT(c_.Started(), ElementsAre("job"));
  quota.used_gpu_hours = 61;
  EXPECT_THAT(c_.Started(), IsEmpty());
  EXPECT_EQ(c_.Decide().wake, quota.renews);
  // What runs beyond the month counts in the next.
  quota.renews = c_.now + absl::Hours(4);
  EXPECT_THAT(c_.Started(), ElementsAre("job"));
}

TEST_F(PolicyTest, BackfillsWhatEndsBeforeTheHeadCanStart) {
  c_.Run("x", {{0, 8}}, absl::Hours(2));
  c_.Queue("head", 16, absl::Hours(1));
  c_.Queue("long", 8, absl::Hours(3));
  c_.Queue("unknown", 8);
  c_.Queue("short", 8, absl::Hours(2));
  EXPECT_THAT(c_.Started(), ElementsAre("short"));
  c_.options.backfill = false;
  EXPECT_THAT(c_.Started(), IsEmpty());
}

TEST_F(PolicyTest, BackfillsOnWhatIsNotReserved) {
  c_.Run("x", {{0, 8}}, absl::Hours(2));
  c_.Run("y", {{1, 2}}, absl::Hours(9));
  c_.Queue("head", 12);  // eight of node 0, and four of node 1
  c_.Queue("too many", 3);
  c_.Queue("spare", 2);
  c_.Queue("no more", 1);
  EXPECT_THAT(c_.Started(), ElementsAre("spare"));
}

TEST_F(PolicyTest, WithoutKnownEndsKeepsThePromisedNodesFree) {
  c_.Run("x", {{0, 8}});
  c_.Queue("head", 16);
  c_.Queue("short", 1, absl::Seconds(1));
  EXPECT_THAT(c_.Started(), IsEmpty());
}

TEST_F(PolicyTest, LooksAtNoMoreJobsThanDepth) {
  c_.Run("x", {{0, 8}}, absl::Hours(2));
  c_.Queue("head", 16);
  c_.Queue("long", 8, absl::Hours(3));
  c_.Queue("short", 1, absl::Hours(1));
  c_.options.depth = 2;
  EXPECT_THAT(c_.Started(), IsEmpty());
  c_.options.depth = 3;
  EXPECT_THAT(c_.Started(), ElementsAre("short"));
}

TEST_F(PolicyTest, StopsAtSoManyStartsAndAsksToBeCalledAgain) {
  for (int i = 0; i < 4; ++i) c_.Queue(absl::StrCat(i), 1);
  c_.options.max_starts = 3;
  EXPECT_THAT(c_.Started(), SizeIs(3));
  EXPECT_EQ(c_.Decide().wake, c_.now);
}

TEST_F(PolicyTest, DoesNotHoldTheClusterForNodesThatAreDown) {
  c_.nodes()[0].usable = false;
  c_.Queue("both", 16);
  c_.Queue("one", 8);
  const Decision decision = c_.Decide();
  ASSERT_THAT(decision.start, SizeIs(1));
  EXPECT_THAT(decision.start[0].nodes, ElementsAre(NodeRanks{1, 8}));
  EXPECT_THAT(decision.refuse, IsEmpty());
}

TEST_F(PolicyTest, LetsOthersPassAJobThatWaitsOutALoss) {
  c_.Queue("unlucky", 16).not_before = c_.now + absl::Seconds(8);
  c_.Queue("other", 16);
  EXPECT_THAT(c_.Started(), ElementsAre("other"));
  EXPECT_EQ(c_.Decide().wake, c_.now + absl::Seconds(8));
}

TEST_F(PolicyTest, RefusesWhatCanNeverStart) {
  c_.projects[0].quota.max_gpus = 12;
  c_.projects[0].quota.max_gpu_hours = 100;
  c_.Queue("quota", 13);
  c_.Queue("hours", 12, absl::Hours(9));
  c_.Queue("groups", 8).gang.ranks_together = 3;
  c_.Queue("group", 8).gang = {2, {5, 1}, 2};
  c_.Queue("node", 4).gang = {4, {0, 1}, 2, 1};
  c_.Queue("fine", 12);
  const Decision decision = c_.Decide();
  ASSERT_THAT(decision.refuse, SizeIs(5));
  EXPECT_EQ(decision.refuse[0].reason,
            "needs 13 GPUs, but the quota of project alpha is 12");
  EXPECT_EQ(decision.refuse[1].reason,
            "may use 108 GPU-hours by its time limit, but the quota of project "
            "alpha is 100 a month");
  EXPECT_THAT(decision.refuse[2].reason, HasSubstr("in groups of 3"));
  EXPECT_THAT(decision.refuse[3].reason, HasSubstr("can hold 0"));
  EXPECT_THAT(decision.refuse[4].reason, HasSubstr("must share one"));
  ASSERT_THAT(decision.start, SizeIs(1));
}

TEST_F(PolicyTest, SaysHowManyNodesOfWhatSizeAreMissing) {
  const auto why = [&](const Gang& gang) {
    QueuedJob job;
    job.gang = gang;
    return WhyNever(c_.nodes(), c_.projects[0], job).value_or("");
  };
  EXPECT_EQ(why({6, {1, 4}, 1, 2}),
            "needs 3 nodes with 2 GPUs and 8 CPU slots each "
            "(max_ranks_per_node is 2), but there are 2 such nodes");
  c_.nodes()[1].total = {1, 8};
  EXPECT_EQ(why({6, {1, 1}, 2, 3}),
            "needs 3 nodes with 2 GPUs and 2 CPU slots each "
            "(max_ranks_per_node is 3), but there is 1 such node");
  EXPECT_EQ(why({4, {0, 1}, 1, 1}),
            "needs 4 nodes with 1 CPU slot each (max_ranks_per_node is 1), but "
            "there are 2 such nodes");
  // Where it is not the limit it is not the cause.
  EXPECT_EQ(why({10, {1, 1}, 1, 8}), "needs 10 GPUs, but the cluster has 9");
  EXPECT_EQ(why({2, {1, 40}}),
            "needs 2 ranks of 1 GPU and 40 CPU slots each, but all nodes "
            "together can hold 1");
}

TEST_F(PolicyTest, SpreadsIfToldTo) {
  c_.Run("x", {{0, 4}});
  c_.Queue("job", 2);
  EXPECT_THAT(c_.Decide().start[0].nodes, ElementsAre(NodeRanks{0, 2}));
  c_.options.packing = Packing::kSpread;
  EXPECT_THAT(c_.Decide().start[0].nodes, ElementsAre(NodeRanks{1, 2}));
}

}  // namespace
}  // namespace retort::scheduler
