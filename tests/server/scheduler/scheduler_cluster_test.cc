// The scheduler over several nodes, projects and classes. What becomes of one
// job is in scheduler_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "server/jobs/timestamps.h"
#include "server/scheduler/explain.h"
#include "server/scheduler/scheduler.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_executor.h"
#include "tests/support/fake_models.h"
#include "tests/support/fake_worker_session.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::scheduler {
namespace {

using internal::v1::AttachRequest;
using internal::v1::Control;
using ::retort::testing::FakeWorkerSession;
using ::retort::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using J = v1::Job;
using Ended = internal::v1::TaskEnded;

class SchedulerClusterTest : public ::testing::Test {
 protected:
  SchedulerClusterTest() {
    db_ = *db::Database::Open(data_dir_.db_path());
    store_ = *jobs::JobStore::Create(db_.get(), &clock_, data_dir_);
    cluster_store_ = *ClusterStore::Create(db_.get());
    executor_.SetNodes({{"n1", 8, 2}, {"n2", 8, 2}});
    Restart();
  }
  void Restart() {
    scheduler_.reset();
    SchedulerOptions options;
    options.cluster.policy.min_run = min_run_;
    scheduler_ = std::make_unique<Scheduler>(options, &clock_, store_.get(),
                                             &models_, &executor_,
                                             cluster_store_.get(), &metrics_);
    ASSERT_THAT(scheduler_->Recover(), IsOk());
  }
  // A training job of so many ranks with one GPU each.
  std::string Create(const std::string& id, int ranks,
                     J::PriorityClass job_class = J::PRIORITY_CLASS_NORMAL,
                     const std::string& project = "default") {
    jobs::NewJob job;
    job.project = project;
    job.job_id = id;
    job.job.set_priority_class(job_class);
    job.job.mutable_spec()->mutable_train_teacher();
    auto* resources = job.job.mutable_spec()->mutable_resources();
    resources->set_world_size(ranks);
    resources->set_cpu_threads(1);
    resources->set_gpus(1);
    return store_->CreateJob(job)->name();
  }
  // One that runs, with its workers attached.
  std::string Running(const std::string& id, int ranks,
                      J::PriorityClass job_class = J::PRIORITY_CLASS_NORMAL) {
    const std::string name = Create(id, ranks, job_class);
    scheduler_->RunOnce();
    Attach(name, ranks);
    return name;
  }
  void Attach(const std::string& name, int ranks, bool resumed = false) {
    ranks_[name] = ranks;
    for (int rank = 0; rank < ranks; ++rank) {
      internal::v1::Hello hello;
      hello.set_rank(rank);
      hello.set_resumed(resumed);
      auto session = std::make_shared<FakeWorkerSession>();
      if (rank == 0) sessions_[name] = session;
      scheduler_->OnAttached(name, Epoch(name), hello, session);
      if (rank > 0 || ranks == 1 || resumed) continue;
      // It says where the others find it.
      AttachRequest message;
      message.mutable_rendezvous()->set_host("n1");
      message.mutable_rendezvous()->set_port(4711);
      scheduler_->OnMessage(name, Epoch(name), 0, message);
    }
    scheduler_->RunOnce();
  }
  void Checkpoint(const std::string& name, int64_t step) {
    const std::string id = name.substr(name.rfind('/') + 1);
    ASSERT_THAT(base::MakeDirs(
                    base::JobDir(data_dir_.job_dir(id)).checkpoint_dir(step)),
                IsOk());
    AttachRequest message;
    message.mutable_checkpoint()->mutable_checkpoint()->set_step(step);
    scheduler_->OnMessage(name, Epoch(name), 0, message);
    scheduler_->RunOnce();
  }
  // The workers say that they have stopped, and are gone.
  void Stop(const std::string& name) {
    AttachRequest message;
    message.mutable_ended()->set_outcome(Ended::OUTCOME_STOPPED);
    message.mutable_ended()->set_reason("stopped");
    scheduler_->OnMessage(name, Epoch(name), 0, message);
    scheduler_->RunOnce();
    Exit(name);
  }
  void Exit(const std::string& name) {
    const int64_t epoch = Epoch(name);
    for (int rank = 0; rank < ranks_[name]; ++rank) {
      scheduler_->OnDetached(name, epoch, rank);
    }
    scheduler_->OnExited(name, epoch, {});
    scheduler_->RunOnce();
  }
  void SetQuota(const std::string& project, double weight, int max_jobs) {
    ASSERT_THAT(
        scheduler_->cluster()->UpdateProject(project, "",
                                             [&](ProjectRecord* record) {
                                               record->weight = weight;
                                               record->max_jobs = max_jobs;
                                               return absl::OkStatus();
                                             }),
        IsOk());
    scheduler_->Wake();
  }
  int64_t Epoch(const std::string& name) { return store_->Get(name)->epoch; }
  jobs::State StateOf(const std::string& name) {
    return store_->Get(name)->job.state();
  }
  Control::Action LastAction(const std::string& name) {
    const auto session = sessions_.find(name);
    if (session == sessions_.end() || session->second->sent().empty()) {
      return Control::ACTION_UNSPECIFIED;
    }
    return session->second->sent().back().control().action();
  }
  Explanation Why(const std::string& name) {
    const ClusterState state = scheduler_->cluster()->Copy();
    const Picture picture(state, clock_.Now());
    return *Explain(picture.snapshot(), scheduler_->cluster()->policy(), name);
  }
  // What the project "default" has used this month.
  double GpuHours() {
    const ClusterState state = scheduler_->cluster()->Copy();
    const Picture picture(state, clock_.Now());
    return picture.snapshot().projects[0].quota.used_gpu_hours;
  }
  // The executor says that a gang waits in its queue, or where it is.
  void Place(const std::string& name, bool waiting) {
    executor::GangPlacement placement;
    placement.waiting = waiting;
    if (waiting) placement.reason = "Slurm: Resources";
    if (!waiting) placement.nodes = {"n2"};
    scheduler_->OnPlacement(name, Epoch(name), placement);
    scheduler_->RunOnce();
  }
  NamedPlacement PlaceOf(const std::string& name) {
    const ClusterState state = scheduler_->cluster()->Copy();
    const auto found = state.gangs().find(name);
    return found == state.gangs().end() ? NamedPlacement()
                                        : found->second.nodes;
  }

  retort::testing::TempDir dir_;
  const base::DataDir data_dir_{dir_.path()};
  retort::testing::FakeClock clock_;
  metrics::ServiceMetrics metrics_;
  executor::WorkerLinks links_;
  retort::testing::FakeExecutor executor_{&links_};
  retort::testing::FakeModels models_;
  std::unique_ptr<db::Database> db_;
  std::unique_ptr<jobs::JobStore> store_;
  std::unique_ptr<ClusterStore> cluster_store_;
  std::unique_ptr<Scheduler> scheduler_;
  std::map<std::string, std::shared_ptr<FakeWorkerSession>> sessions_;
  std::map<std::string, int> ranks_;
  absl::Duration min_run_;
};

TEST_F(SchedulerClusterTest, StartsAGangWholeOrNotAtAll) {
  Running("a", 1);
  const std::string whole = Create("whole", 4);
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(whole), J::STATE_QUEUED);
  EXPECT_THAT(Why(whole).words,
              HasSubstr("waits for 2 nodes with 2 free GPUs each (1 now)"));
  const std::string part = Create("part", 2, J::PRIORITY_CLASS_HIGH);
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(part), J::STATE_STARTING);
  EXPECT_THAT(PlaceOf(part), ElementsAre(Pair("n2", 2)));
}

TEST_F(SchedulerClusterTest, AHigherClassStopsALowerOneWithACheckpoint) {
  const std::string low = Running("low", 4, J::PRIORITY_CLASS_LOW);
  const std::string high = Create("high", 4);
  scheduler_->RunOnce();
  EXPECT_EQ(LastAction(low), Control::ACTION_PAUSE);
  EXPECT_EQ(StateOf(low), J::STATE_RUNNING);
  EXPECT_EQ(StateOf(high), J::STATE_QUEUED);
  EXPECT_EQ(Why(high).reason, WaitReason::kStopping);
  Checkpoint(low, 7);
  Stop(low);
  EXPECT_EQ(StateOf(low), J::STATE_QUEUED);
  EXPECT_THAT(store_->Get(low)->job.state_reason(),
              HasSubstr("makes room for projects/default/jobs/high"));
  EXPECT_THAT(store_->Get(low)->job.state_reason(),
              HasSubstr("checkpoint of step 7"));
  EXPECT_EQ(StateOf(high), J::STATE_STARTING);
  // And goes on when that is over.
  Attach(high, 4);
  Stop(high);
  EXPECT_EQ(store_->Get(low)->failures, 0);
}

TEST_F(SchedulerClusterTest, NobodyIsStoppedTooSoonAfterItsStart) {
  min_run_ = absl::Seconds(20);
  Restart();
  const std::string low = Running("low", 4, J::PRIORITY_CLASS_LOW);
  clock_.Advance(absl::Seconds(5));
  Create("high", 4);
  EXPECT_LE(scheduler_->RunOnce(), clock_.Now() + absl::Seconds(15));
  clock_.Advance(absl::Seconds(14));
  scheduler_->RunOnce();
  EXPECT_FALSE(sessions_[low]->sent().back().has_control());
  clock_.Advance(absl::Seconds(1));
  scheduler_->RunOnce();
  EXPECT_EQ(LastAction(low), Control::ACTION_PAUSE);
}

TEST_F(SchedulerClusterTest, WhatIsPromisedIsNotTakenByAnother) {
  const std::string low = Running("low", 4, J::PRIORITY_CLASS_LOW);
  const std::string normal = Create("normal", 4);
  scheduler_->RunOnce();
  // Comes later, and would fit as well once `low` has stopped.
  const std::string urgent = Create("urgent", 1, J::PRIORITY_CLASS_HIGH);
  scheduler_->RunOnce();
  Stop(low);
  EXPECT_EQ(StateOf(normal), J::STATE_STARTING);
  EXPECT_EQ(StateOf(urgent), J::STATE_QUEUED);
}

TEST_F(SchedulerClusterTest, ARestartForgetsNeitherWhoStopsNorForWhom) {
  const std::string low = Running("low", 4, J::PRIORITY_CLASS_LOW);
  const std::string normal = Create("normal", 4);
  scheduler_->RunOnce();
  executor_.SetAlive("fake 1");
  Restart();
  const std::string urgent = Create("urgent", 1, J::PRIORITY_CLASS_HIGH);
  scheduler_->RunOnce();
  EXPECT_EQ(Why(normal).reason, WaitReason::kStopping);
  // It may not have heard: it is asked again.
  Attach(low, 4, /*resumed=*/true);
  EXPECT_EQ(LastAction(low), Control::ACTION_PAUSE);
  Stop(low);
  EXPECT_EQ(StateOf(low), J::STATE_QUEUED);
  EXPECT_EQ(StateOf(normal), J::STATE_STARTING);
  EXPECT_EQ(StateOf(urgent), J::STATE_QUEUED);
}

TEST_F(SchedulerClusterTest, AnAdoptedGangKeepsItsNodes) {
  Running("first", 2);
  const std::string second = Running("second", 2);
  EXPECT_THAT(PlaceOf(second), ElementsAre(Pair("n2", 2)));
  Exit("projects/default/jobs/first");
  executor_.SetAlive("fake 2");
  ASSERT_THAT(scheduler_->Pause("projects/default/jobs/first"), IsOk());
  Restart();
  EXPECT_THAT(PlaceOf(second), ElementsAre(Pair("n2", 2)));
  // Nothing else goes there.
  const std::string third = Create("third", 2);
  scheduler_->RunOnce();
  EXPECT_THAT(PlaceOf(third), ElementsAre(Pair("n1", 2)));
}

TEST_F(SchedulerClusterTest, AClaimIsGivenUpWithItsJob) {
  const std::string low = Running("low", 4, J::PRIORITY_CLASS_LOW);
  const std::string high = Create("high", 4);
  scheduler_->RunOnce();
  ASSERT_THAT(scheduler_->Cancel(high), IsOk());
  scheduler_->RunOnce();
  EXPECT_THAT(*cluster_store_->ListClaims(), IsEmpty());
  Stop(low);
  // Nobody needs its place any more.
  EXPECT_EQ(StateOf(low), J::STATE_STARTING);
}

TEST_F(SchedulerClusterTest, AJobOverItsProjectsQuotaWaitsAndSaysSo) {
  SetQuota("default", 1, /*max_jobs=*/1);
  Running("a", 1);
  const std::string b = Create("b", 1);
  const std::string other =
      Create("other", 1, J::PRIORITY_CLASS_NORMAL, "other");
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(other), J::STATE_STARTING);
  EXPECT_EQ(Why(b).reason, WaitReason::kQuota);
  EXPECT_EQ(Why(b).words,
            "waits because project default is at its quota of 1 running job");
  SetQuota("default", 1, 0);
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(b), J::STATE_STARTING);
}

TEST_F(SchedulerClusterTest, SharesGoByWeightAndSurviveARestart) {
  SetQuota("heavy", 3, 0);
  std::vector<std::string> names;
  for (int i = 0; i < 4; ++i) {
    names.push_back(
        Create(absl::StrCat("l", i), 1, J::PRIORITY_CLASS_NORMAL, "light"));
    names.push_back(
        Create(absl::StrCat("h", i), 1, J::PRIORITY_CLASS_NORMAL, "heavy"));
  }
  scheduler_->RunOnce();
  EXPECT_THAT(
      scheduler_->cluster()->Gangs(),
      UnorderedElementsAre("projects/light/jobs/l0", "projects/heavy/jobs/h0",
                           "projects/heavy/jobs/h1", "projects/heavy/jobs/h2"));
  clock_.Advance(absl::Hours(1));
  for (int i = 1; i <= 4; ++i) executor_.SetAlive(absl::StrCat("fake ", i));
  Restart();
  const ClusterState state = scheduler_->cluster()->Copy();
  const Picture picture(state, clock_.Now());
  for (const Project& project : picture.snapshot().projects) {
    EXPECT_DOUBLE_EQ(project.quota.used_gpu_hours,
                     project.name == "heavy" ? 3 : 1);
  }
}

TEST_F(SchedulerClusterTest, ADrainedNodeStaysDrainedAfterARestart) {
  ASSERT_THAT(scheduler_->cluster()->DrainNode("n1", "", false), IsOk());
  Restart();
  const std::string a = Create("a", 2), b = Create("b", 1);
  scheduler_->RunOnce();
  EXPECT_THAT(PlaceOf(a), ElementsAre(Pair("n2", 2)));
  EXPECT_EQ(StateOf(b), J::STATE_QUEUED);
  ASSERT_THAT(scheduler_->cluster()->DrainNode("n1", "", true), IsOk());
  scheduler_->Wake();
  scheduler_->RunOnce();
  EXPECT_THAT(PlaceOf(b), ElementsAre(Pair("n1", 1)));
}

TEST_F(SchedulerClusterTest, AnExecutorMaySayThatAGangIsElsewhere) {
  const std::string a = Create("a", 2);
  scheduler_->RunOnce();
  EXPECT_THAT(PlaceOf(a), ElementsAre(Pair("n1", 2)));
  scheduler_->OnPlacement(a, 1, {.nodes = {"n1", "n2"}});
  scheduler_->RunOnce();
  EXPECT_THAT(PlaceOf(a), ElementsAre(Pair("n1", 1), Pair("n2", 1)));
}

TEST_F(SchedulerClusterTest, WhatWaitsInTheExecutorsQueueIsNotCharged) {
  executor_.SetHasQueue(true);
  Restart();
  const std::string a = Create("a", 2);
  scheduler_->RunOnce();
  Place(a, /*waiting=*/true);
  clock_.Advance(absl::Hours(24));
  EXPECT_EQ(GpuHours(), 0);
  // The next server knows that, too.
  executor_.SetAlive("fake 1");
  Restart();
  scheduler_->RunOnce();
  clock_.Advance(absl::Hours(24));
  EXPECT_EQ(GpuHours(), 0);
  Place(a, /*waiting=*/false);
  EXPECT_THAT(PlaceOf(a), ElementsAre(Pair("n2", 2)));
  clock_.Advance(absl::Hours(1));
  EXPECT_DOUBLE_EQ(GpuHours(), 2);
}

TEST_F(SchedulerClusterTest, WhatIsPlacedStaysSoOverARestart) {
  executor_.SetHasQueue(true);
  executor_.SetAlive("fake 1");
  Restart();
  const std::string a = Create("a", 2);
  scheduler_->RunOnce();
  clock_.Advance(absl::Hours(1));
  Place(a, /*waiting=*/false);
  clock_.Advance(absl::Hours(1));
  // It has its place, but its ranks have not come yet.
  Restart();
  scheduler_->RunOnce();
  clock_.Advance(absl::Hours(1));
  EXPECT_DOUBLE_EQ(GpuHours(), 4);
  Place(a, /*waiting=*/false);
  Attach(a, 2);
  Restart();
  EXPECT_DOUBLE_EQ(GpuHours(), 4);
  Attach(a, 2, /*resumed=*/true);
  clock_.Advance(absl::Hours(1));
  EXPECT_DOUBLE_EQ(GpuHours(), 6);
  Exit(a);
  clock_.Advance(absl::Hours(1));
  EXPECT_DOUBLE_EQ(GpuHours(), 6);
}

TEST_F(SchedulerClusterTest, AGangWhoseRanksComeIsPlacedWhateverWasSaid) {
  executor_.SetHasQueue(true);
  Restart();
  const std::string a = Create("a", 2);
  scheduler_->RunOnce();
  clock_.Advance(absl::Hours(1));
  Attach(a, 2);
  clock_.Advance(absl::Hours(1));
  EXPECT_DOUBLE_EQ(GpuHours(), 2);
}

TEST_F(SchedulerClusterTest, AGangThatRunsIsPlacedThoughTheNoteOfItIsLost) {
  executor_.SetHasQueue(true);
  Restart();
  const std::string a = Running("a", 2);
  ClusterStore::Change lost;
  lost.gangs = *cluster_store_->ListGangs();
  lost.gangs[0].placed = false;
  ASSERT_THAT(cluster_store_->Write(lost), IsOk());
  clock_.Advance(absl::Hours(1));
  executor_.SetAlive("fake 1");
  Restart();
  EXPECT_DOUBLE_EQ(GpuHours(), 2);
}

TEST_F(SchedulerClusterTest, AShortJobPassesOneThatWaitsForALongOne) {
  jobs::NewJob job;
  job.project = "default";
  job.job.mutable_spec()->mutable_train_teacher();
  auto* resources = job.job.mutable_spec()->mutable_resources();
  resources->set_world_size(3);
  resources->set_cpu_threads(1);
  resources->set_gpus(1);
  resources->mutable_time_limit()->set_seconds(7200);
  job.job_id = "long";
  ASSERT_THAT(store_->CreateJob(job), IsOk());
  scheduler_->RunOnce();
  const std::string wide = Create("wide", 4);
  const std::string endless = Create("endless", 1);
  resources->set_world_size(1);
  resources->mutable_time_limit()->set_seconds(3600);
  job.job_id = "short";
  const std::string brief = store_->CreateJob(job)->name();
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(brief), J::STATE_STARTING);
  EXPECT_EQ(StateOf(endless), J::STATE_QUEUED);
  EXPECT_EQ(Why(wide).reason, WaitReason::kFirst);
}

TEST_F(SchedulerClusterTest, SaysWhenARunWithoutALimitExpectsToEnd) {
  const std::string a = Running("a", 4);
  const std::string b = Create("b", 1);
  scheduler_->RunOnce();
  AttachRequest message;
  message.mutable_progress()->mutable_progress()->set_step(7);
  message.mutable_progress()->mutable_progress()->mutable_eta()->set_seconds(
      50);
  scheduler_->OnMessage(a, 1, 0, message);
  clock_.Advance(absl::Seconds(10));
  EXPECT_THAT(Why(b).words,
              HasSubstr("at its present speed it ends in about 40 s"));
  EXPECT_EQ(Why(b).earliest, absl::InfiniteFuture());
}

TEST_F(SchedulerClusterTest, DoesNotDecideForEachProgress) {
  const std::string a = Running("a", 4);
  scheduler_->RunOnce();
  // Were it decided anew, it would start on the new node.
  const std::string b = Create("b", 1);
  scheduler_->RunOnce();
  executor_.SetNodes({{"n3", 8, 2}});
  AttachRequest message;
  message.mutable_progress()->mutable_progress()->set_step(7);
  scheduler_->OnMessage(a, 1, 0, message);
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(b), J::STATE_QUEUED);
  // Nodes come and go by themselves: it is looked at now and then.
  clock_.Advance(absl::Seconds(31));
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(b), J::STATE_STARTING);
}

}  // namespace
}  // namespace retort::scheduler
