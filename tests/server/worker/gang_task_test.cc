// Tasks of several processes, here on a thread each.
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "server/worker/loaded_model.h"
#include "server/worker/task.h"
#include "tests/server/worker/fake_outbox.h"
#include "tests/server/worker/small_models.h"
#include "tests/support/rank_threads.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::worker {
namespace {

using internal::v1::TaskEnded;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class GangTaskTest : public ::testing::Test {
 protected:
  struct Process {
    FakeOutbox outbox;
    TaskControl control;
    TaskContext context;
    TaskEnded ended;
  };

  GangTaskTest() {
    at::set_num_threads(1);
    WriteSmallData(dir_ / "data", 32);
    for (int rank = 0; rank < 2; ++rank) {
      Process& p = processes_[rank];
      p.context.outbox = &p.outbox;
      p.context.control = &p.control;
      internal::v1::Assignment& a = p.context.assignment;
      a.set_job_dir(dir_ / "job");
      a.set_job_name("projects/p/jobs/j");
      a.set_rank(rank);
      a.set_world_size(2);
      a.set_device("cpu");
      auto* spec = a.mutable_spec()->mutable_train_teacher();
      spec->mutable_data()->set_path(dir_ / "data");
      spec->mutable_network()->set_model_channels(4);
      spec->mutable_network()->add_channel_mult(1);
      auto* training = spec->mutable_training();
      training->set_batch_size(4);
      training->set_iterations(4);
      training->set_log_every(1);
      training->set_checkpoint_every(2);
    }
  }

  v1::TrainTeacherSpec* Spec(int rank) {
    return processes_[rank]
        .context.assignment.mutable_spec()
        ->mutable_train_teacher();
  }

  // As the server does it: rank 1 gets its assignment once rank 0 listens.
  void RunBoth() {
    std::promise<internal::v1::Rendezvous> listening;
    processes_[0].outbox.on_rendezvous =
        [&](const internal::v1::Rendezvous& r) { listening.set_value(r); };
    std::thread other([&] {
      Process& p = processes_[1];
      *p.context.assignment.mutable_rendezvous() = listening.get_future().get();
      p.ended = RunTask(p.context);
    });
    processes_[0].ended = RunTask(processes_[0].context);
    other.join();
  }

  testing::TempDir dir_;
  std::array<Process, 2> processes_;
};

TEST_F(GangTaskTest, TrainsOneModelAndRank0AloneSpeaks) {
  RunBoth();
  const Process& lead = processes_[0];
  const Process& other = processes_[1];
  ASSERT_EQ(lead.ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED)
      << lead.ended.reason();
  EXPECT_THAT(lead.ended.model_dirs(), ElementsAre("result"));
  EXPECT_EQ(LoadModel(dir_ / "job/result").status(), absl::OkStatus());
  EXPECT_EQ(lead.outbox.progress.back().progress().images(), 16);
  EXPECT_EQ(other.ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  EXPECT_THAT(other.ended.model_dirs(), IsEmpty());
  EXPECT_THAT(other.outbox.progress, IsEmpty());
  EXPECT_THAT(other.outbox.checkpoints, IsEmpty());
  EXPECT_EQ(other.outbox.step(), 4);
  EXPECT_THAT(other.outbox.activities, Contains(Pair("all-reduce", true)));
  EXPECT_THAT(other.outbox.activities, Contains(Pair("training", false)));
}

TEST_F(GangTaskTest, OnlyTheRankThatFailedSaysSo) {
  Spec(1)->mutable_data()->set_path(dir_ / "nothing-here");
  RunBoth();
  EXPECT_EQ(processes_[1].ended.outcome(), TaskEnded::OUTCOME_FAILED);
  EXPECT_THAT(processes_[1].ended.reason(), HasSubstr("nothing-here"));
  EXPECT_TRUE(PeersLost(processes_[0].ended));
}

TEST_F(GangTaskTest, APauseOfOneStopsAllAndTheyGoOnTogether) {
  processes_[1].control.Stop(StopReason::kPause);
  RunBoth();
  EXPECT_EQ(processes_[0].ended.outcome(), TaskEnded::OUTCOME_STOPPED);
  EXPECT_EQ(processes_[1].ended.outcome(), TaskEnded::OUTCOME_STOPPED);
}

TEST_F(GangTaskTest, AGpuThatIsNotThereIsAClearError) {
  if (at::hasCUDA()) GTEST_SKIP() << "SKIPPED ALOUD: there is a GPU here";
  TaskContext& context = processes_[0].context;
  context.assignment.set_world_size(1);
  context.assignment.set_device("cuda");
  const TaskEnded ended = RunTask(context);
  EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_FAILED);
  EXPECT_THAT(ended.reason(), HasSubstr("Set resources.gpus to 0"));
}

TEST_F(GangTaskTest, ACloneBeginsWithAnotherJobsCheckpoint) {
  TaskContext& context = processes_[0].context;
  context.assignment.set_world_size(1);
  ASSERT_EQ(RunTask(context).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  context.assignment.set_job_dir(dir_ / "clone");
  context.assignment.set_start_from(dir_ / "job/checkpoints/00000004");
  Spec(0)->mutable_training()->set_iterations(6);
  Spec(0)->mutable_optimizer()->set_learning_rate(1e-4);
  processes_[0].outbox.progress.clear();
  const TaskEnded ended = RunTask(context);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  std::vector<int64_t> steps;
  for (const auto& p : processes_[0].outbox.progress) {
    if (p.progress().step() > 0) steps.push_back(p.progress().step());
  }
  EXPECT_THAT(steps, ElementsAre(5, 6));
}

}  // namespace
}  // namespace retort::worker
