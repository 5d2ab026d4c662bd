#include "server/scheduler/cluster_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retort::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1800000000);

class ClusterStateTest : public ::testing::Test {
 protected:
  ClusterStateTest() { state_.SetNodes({{"n1", {8, 64}}, {"n2", {8, 64}}}); }
  static LiveGang Gang(const std::string& name, int ranks,
                       NamedPlacement nodes) {
    LiveGang gang;
    gang.name = name;
    gang.project = "p";
    gang.gang = {ranks, {1, 8}};
    gang.nodes = std::move(nodes);
    gang.start = kNow;
    return gang;
  }
  static std::shared_ptr<const WaitingJob> Job(const std::string& name,
                                               int64_t seq) {
    auto job = std::make_shared<WaitingJob>();
    job->name = name;
    job->seq = seq;
    job->project = "p";
    return job;
  }

  ClusterState state_;
};

TEST_F(ClusterStateTest, APictureHasWhatGangsLeaveOfTheNodes) {
  state_.PutGang(Gang("a", 3, {{"n1", 2}, {"n2", 1}}), kNow);
  const Picture picture(state_, kNow);
  const Snapshot& snapshot = picture.snapshot();
  EXPECT_EQ(snapshot.nodes[0].free.gpus, 6);
  EXPECT_EQ(snapshot.nodes[1].free.cpus, 56);
  ASSERT_THAT(snapshot.running, SizeIs(1));
  EXPECT_THAT(snapshot.running[0]->nodes,
              ElementsAre(NodeRanks{0, 2}, NodeRanks{1, 1}));
  EXPECT_THAT(picture.Named(snapshot.running[0]->nodes),
              ElementsAre(Pair("n1", 2), Pair("n2", 1)));
}

TEST_F(ClusterStateTest, DrainedNodesAreNotUsableAndSayWhy) {
  state_.Drain("n2", "new disks");
  EXPECT_TRUE(state_.nodes()[0].usable);
  EXPECT_FALSE(state_.nodes()[1].usable);
  EXPECT_EQ(state_.nodes()[1].reason, "drained by request: new disks");
  EXPECT_FALSE(Picture(state_, kNow).snapshot().nodes[1].usable);
  state_.Undrain("n2");
  EXPECT_TRUE(state_.nodes()[1].usable);
}

TEST_F(ClusterStateTest, AProjectIsChargedForWhatItHolds) {
  state_.PutGang(Gang("a", 4, {{"n1", 4}}), kNow);
  const auto project = [&](absl::Duration later) {
    return Picture(state_, kNow + later).snapshot().projects[0];
  };
  EXPECT_EQ(project(absl::ZeroDuration()).usage, 0);
  EXPECT_NEAR(project(absl::Seconds(60)).usage, 240, 1);
  EXPECT_DOUBLE_EQ(project(absl::Hours(1)).quota.used_gpu_hours, 4);
  state_.RemoveGang("a", kNow + absl::Hours(1));
  EXPECT_DOUBLE_EQ(project(absl::Hours(5)).quota.used_gpu_hours, 4);
}

TEST_F(ClusterStateTest, AGangInTheExecutorsQueueKeepsItsRoomAndUsesNothing) {
  LiveGang gang = Gang("a", 4, {{"n1", 4}});
  gang.placed = false;
  gang.time_limit = absl::Hours(2);
  state_.PutGang(gang, kNow);
  const absl::Time placed = kNow + absl::Hours(48);
  const Picture waits(state_, placed);
  EXPECT_EQ(waits.snapshot().nodes[0].free.gpus, 4);
  EXPECT_EQ(waits.snapshot().running[0]->expected_end, placed + absl::Hours(2));
  EXPECT_EQ(waits.snapshot().running[0]->last_checkpoint, placed);
  EXPECT_EQ(waits.snapshot().projects[0].usage, 0);
  EXPECT_EQ(waits.snapshot().projects[0].quota.used_gpu_hours, 0);
  state_.PlaceGang("a", placed);
  state_.PlaceGang("a", placed + absl::Minutes(30));  // said again
  const Picture runs(state_, placed + absl::Hours(1));
  EXPECT_EQ(runs.snapshot().running[0]->start, placed);
  EXPECT_EQ(runs.snapshot().running[0]->expected_end, placed + absl::Hours(2));
  EXPECT_DOUBLE_EQ(runs.snapshot().projects[0].quota.used_gpu_hours, 4);
}

TEST_F(ClusterStateTest, CpuSlotsAreChargedWhereTheyWeighMore) {
  LiveGang gang = Gang("a", 1, {{"n1", 1}});
  gang.gang.per_rank = {0, 32};
  state_.PutGang(gang, kNow);
  EXPECT_DOUBLE_EQ(state_.HeldBy("p").charge, 2);
  EXPECT_EQ(state_.HeldBy("p").gpus, 0);
  EXPECT_EQ(state_.HeldBy("p").cpus, 32);
}

TEST_F(ClusterStateTest, ACopyIsNotTouchedByWhatComesLater) {
  const auto job = Job("a", 1);
  state_.Enqueue(job, kNow);
  const ClusterState copy = state_;
  state_.Dequeue(*job, kNow);
  EXPECT_EQ(state_.WaitingOf("p"), 0);
  EXPECT_EQ(copy.WaitingOf("p"), 1);
  EXPECT_THAT(Picture(copy, kNow).snapshot().queues[1].jobs,
              ElementsAre(job.get()));
}

TEST_F(ClusterStateTest, AGangOfUnknownPlaceGoesWhereThereIsRoom) {
  state_.PutGang(Gang("a", 6, {{"n1", 6}}), kNow);
  EXPECT_THAT(state_.GuessPlacement({4, {1, 8}}), ElementsAre(Pair("n2", 4)));
  // Room or not: it holds something, and nothing is below zero.
  state_.PutGang(Gang("b", 8, state_.GuessPlacement({8, {1, 8}})), kNow);
  state_.PutGang(Gang("c", 8, state_.GuessPlacement({8, {1, 8}})), kNow);
  const Picture picture(state_, kNow);
  EXPECT_EQ(picture.snapshot().nodes[0].free.gpus, 0);
  EXPECT_EQ(picture.snapshot().nodes[1].free.gpus, 0);
}

TEST_F(ClusterStateTest, AGangOnANodeThatIsGoneHoldsNothing) {
  state_.PutGang(Gang("a", 2, {{"gone", 2}}), kNow);
  const Picture picture(state_, kNow);
  EXPECT_THAT(picture.snapshot().running[0]->nodes, IsEmpty());
  EXPECT_EQ(picture.snapshot().nodes[0].free.gpus, 8);
}

TEST_F(ClusterStateTest, AClaimWaitsToo) {
  const auto job = Job("a", 1);
  state_.Enqueue(job, kNow);
  state_.Dequeue(*job, kNow);
  state_.claims()->push_back({job, JobClass::kHigh, {{"n2", 1}}});
  EXPECT_EQ(state_.WaitingOf("p"), 1);
  const Picture picture(state_, kNow);
  ASSERT_THAT(picture.snapshot().claims, SizeIs(1));
  EXPECT_THAT(picture.snapshot().claims[0].nodes, ElementsAre(NodeRanks{1, 1}));
}

}  // namespace
}  // namespace retort::scheduler
