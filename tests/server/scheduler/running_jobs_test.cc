// Gangs of several ranks, and what becomes of their jobs.
#include "server/scheduler/running_jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/file.h"
#include "tests/support/captured_log.h"
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
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Optional;
using ::testing::SizeIs;
using J = v1::Job;
using Ended = internal::v1::TaskEnded;

constexpr char kName[] = "projects/default/jobs/a";

class RunningJobsTest : public ::testing::Test {
 protected:
  RunningJobsTest() {
    db_ = *db::Database::Open(data_dir_.db_path());
    store_ = *jobs::JobStore::Create(db_.get(), &clock_, data_dir_);
    models_.Add("projects/default/models/t", v1::Model::KIND_TEACHER);
    Restart();
  }

  void Restart() {
    running_ = std::make_unique<RunningJobs>(RunningJobsOptions(), &clock_,
                                             store_.get(), &models_, &executor_,
                                             &metrics_);
  }
  void Create(int ranks, absl::Duration time_limit = absl::ZeroDuration(),
              const std::string& teacher = "projects/default/models/t") {
    jobs::NewJob job;
    job.project = "default";
    job.job_id = "a";
    v1::JobSpec* spec = job.job.mutable_spec();
    spec->mutable_estimate_preconditioning()->set_teacher(teacher);
    spec->mutable_resources()->set_cpu_threads(2);
    spec->mutable_resources()->set_world_size(ranks);
    if (time_limit > absl::ZeroDuration()) {
      spec->mutable_resources()->mutable_time_limit()->set_seconds(
          absl::ToInt64Seconds(time_limit));
    }
    ASSERT_THAT(store_->CreateJob(job), IsOk());
  }
  void Start() { ASSERT_THAT(running_->StartJob(kName), IsOk()); }
  // Starts a gang of two with which all is well.
  void StartPair() {
    Create(2);
    Start();
    Attach(0);
    Meet();
    Attach(1);
  }
  void Attach(int rank, bool resumed = false) {
    sessions_[rank] = std::make_shared<FakeWorkerSession>();
    internal::v1::Hello hello;
    hello.set_rank(rank);
    hello.set_host("n");
    hello.set_pid(10 + rank);
    hello.set_resumed(resumed);
    running_->Attached(kName, Epoch(), hello, sessions_[rank]);
  }
  void Say(int rank, const AttachRequest& message) {
    running_->Message(kName, Epoch(), rank, message);
  }
  // Rank 0 says where the others find it.
  void Meet() {
    AttachRequest message;
    message.mutable_rendezvous()->set_host("n");
    message.mutable_rendezvous()->set_port(4711);
    Say(0, message);
  }
  void Beat(int rank) {
    AttachRequest message;
    message.mutable_heartbeat()->set_step(41);
    message.mutable_heartbeat()->set_activity("training");
    Say(rank, message);
  }
  void End(int rank, Ended::Outcome outcome, const std::string& reason) {
    AttachRequest message;
    message.mutable_ended()->set_outcome(outcome);
    message.mutable_ended()->set_reason(reason);
    Say(rank, message);
  }
  void Exit(const executor::ExitStatus& exit) {
    for (const auto& [rank, session] : sessions_) {
      running_->Detached(kName, Epoch(), rank);
    }
    running_->Exited(kName, Epoch(), exit);
  }
  // The same for as long as it takes to be sure that a silent rank hangs.
  void LetHang(int rank) {
    for (int i = 0; i < 32; ++i) {
      clock_.Advance(absl::Seconds(1));
      Beat(1 - rank);
      running_->CheckTimeLimits();
    }
  }
  int64_t Epoch() { return store_->Get(kName)->epoch; }
  v1::Job Job() { return store_->Get(kName)->job; }
  std::string Events() {
    std::string text;
    const auto events = *store_->ListEvents(kName, 0, 999);
    for (const auto& event : events) {
      absl::StrAppend(&text, event.event().message(), "\n");
    }
    return text;
  }
  // The database's file cannot be written, or can again.
  void SetReadOnly(bool read_only) {
    ASSERT_THAT(db_->Read([&](db::Connection& connection) {
      return connection.Execute(
          absl::StrCat("PRAGMA query_only = ", read_only ? "ON" : "OFF"));
    }),
                IsOk());
  }
  // So much later, what is due is done.
  void Later(absl::Duration time) {
    clock_.Advance(time);
    running_->CheckTimeLimits();
  }
  Control::Action LastAction(int rank) {
    return sessions_[rank]->sent().back().control().action();
  }

  retort::testing::TempDir dir_;
  const base::DataDir data_dir_{dir_.path()};
  retort::testing::FakeClock clock_;
  metrics::ServiceMetrics metrics_;
  retort::testing::FakeExecutor executor_;
  retort::testing::FakeModels models_;
  std::unique_ptr<db::Database> db_;
  std::unique_ptr<jobs::JobStore> store_;
  std::unique_ptr<RunningJobs> running_;
  std::map<int, std::shared_ptr<FakeWorkerSession>> sessions_;
};

TEST_F(RunningJobsTest, StartsAllRanksAsOneGang) {
  Create(2);
  Start();
  ASSERT_THAT(executor_.started(), SizeIs(1));
  EXPECT_EQ(executor_.started()[0].ranks, 2);
  EXPECT_EQ(executor_.started()[0].threads, 2);
  EXPECT_TRUE(running_->Has(kName));
}

TEST_F(RunningJobsTest, TellsTheOthersWhereToMeetOnceRankZeroSaysSo) {
  Create(2);
  Start();
  Attach(1);
  Attach(0);
  ASSERT_THAT(sessions_[0]->sent(), SizeIs(1));
  EXPECT_EQ(sessions_[0]->sent()[0].assignment().world_size(), 2);
  EXPECT_THAT(sessions_[1]->sent(), IsEmpty());
  Meet();
  ASSERT_THAT(sessions_[1]->sent(), SizeIs(1));
  const internal::v1::Assignment assignment =
      sessions_[1]->sent()[0].assignment();
  EXPECT_EQ(assignment.rank(), 1);
  EXPECT_EQ(assignment.rendezvous().port(), 4711);
  EXPECT_EQ(assignment.device(), "cpu");
  EXPECT_THAT(sessions_[0]->sent(), SizeIs(1));
}

TEST_F(RunningJobsTest, AssignsARankThatComesLateAtOnce) {
  StartPair();
  ASSERT_THAT(sessions_[1]->sent(), SizeIs(1));
  EXPECT_EQ(sessions_[1]->sent()[0].assignment().rendezvous().port(), 4711);
}

TEST_F(RunningJobsTest, RunsOnceAllRanksAreThere) {
  Create(2);
  Start();
  Attach(0);
  EXPECT_EQ(Job().state(), J::STATE_STARTING);
  Attach(1);
  EXPECT_EQ(Job().state(), J::STATE_RUNNING);
}

TEST_F(RunningJobsTest, KillsAGangOfWhichARankDoesNotAttach) {
  Create(2);
  Start();
  Attach(0);
  clock_.Advance(absl::Minutes(3));
  Beat(0);
  running_->CheckTimeLimits();
  EXPECT_THAT(executor_.killed(), SizeIs(1));
}

TEST_F(RunningJobsTest, FencesARankThatTheGangDoesNotHave) {
  StartPair();
  Attach(2);
  EXPECT_EQ(LastAction(2), Control::ACTION_FENCED);
}

TEST_F(RunningJobsTest, ListensToRankZeroAlone) {
  StartPair();
  AttachRequest message;
  message.mutable_progress()->mutable_progress()->set_step(7);
  Say(1, message);
  EXPECT_EQ(Job().progress().step(), 0);
  Say(0, message);
  EXPECT_EQ(Job().progress().step(), 7);
}

TEST_F(RunningJobsTest, ShowsTheRanksToReadersAndNothingOfThemAfterwards) {
  StartPair();
  Beat(1);
  ASSERT_THAT(Job().ranks(), SizeIs(2));
  EXPECT_EQ(Job().ranks(1).node(), "n");
  EXPECT_EQ(Job().ranks(1).pid(), 11);
  EXPECT_EQ(Job().ranks(1).step(), 41);
  EXPECT_EQ(Job().ranks(1).activity(), "training");
  EXPECT_EQ(Job().executor_id(), "fake 1");
  Exit({.signal = 9});
  EXPECT_THAT(Job().ranks(), IsEmpty());
  EXPECT_EQ(Job().executor_id(), "");
}

TEST_F(RunningJobsTest, AsksAllRanksToStop) {
  StartPair();
  ASSERT_THAT(store_->Update(kName,
                             [](jobs::JobRecord& record, auto*) {
                               record.job.set_state(J::STATE_PAUSING);
                               return absl::OkStatus();
                             }),
              IsOk());
  running_->Pause(kName);
  EXPECT_EQ(LastAction(0), Control::ACTION_PAUSE);
  EXPECT_EQ(LastAction(1), Control::ACTION_PAUSE);
  End(1, Ended::OUTCOME_STOPPED, "");
  EXPECT_EQ(Job().state(), J::STATE_PAUSING);
  EXPECT_TRUE(sessions_[1]->sent().back().has_acknowledged());
  End(0, Ended::OUTCOME_STOPPED, "checkpoint at step 5");
  EXPECT_EQ(Job().state(), J::STATE_PAUSED);
}

TEST_F(RunningJobsTest, WithdrawsAGangThatHasNotBegun) {
  Create(2);
  Start();
  Attach(0);
  Attach(1);
  running_->Preempt(kName, "room is needed");
  EXPECT_THAT(executor_.killed(), SizeIs(1));
  Exit({.signal = 9});
  EXPECT_EQ(Job().state(), J::STATE_QUEUED);
  EXPECT_EQ(Job().state_reason(), "room is needed");
  EXPECT_EQ(store_->Get(kName)->failures, 0);
}

TEST_F(RunningJobsTest, PutsAPreemptedJobBackInTheQueue) {
  StartPair();
  running_->Preempt(kName, "room is needed");
  EXPECT_EQ(LastAction(1), Control::ACTION_PAUSE);
  End(0, Ended::OUTCOME_STOPPED, "checkpoint at step 5");
  EXPECT_EQ(Job().state(), J::STATE_QUEUED);
  EXPECT_THAT(Job().state_reason(), HasSubstr("room is needed; "));
  EXPECT_THAT(Job().state_reason(), HasSubstr("starts again"));
}

TEST_F(RunningJobsTest, TheLogSaysWhoMakesRoomAndWhoseTimeIsUp) {
  const retort::testing::CapturedLog log;
  Create(1, absl::Hours(2));
  Start();
  Attach(0);
  running_->Preempt(kName, "room is needed");
  End(0, Ended::OUTCOME_STOPPED, "");
  Exit({});
  EXPECT_THAT(log.text(), HasSubstr("jobs/a: its workers are asked to stop: "
                                    "room is needed"));
  EXPECT_THAT(log.text(), HasSubstr("jobs/a: QUEUED: room is needed"));
  Start();
  Attach(0);
  clock_.Advance(absl::Hours(2));
  Beat(0);
  running_->CheckTimeLimits();
  End(0, Ended::OUTCOME_STOPPED, "");
  EXPECT_THAT(log.text(), HasSubstr("jobs/a: its workers are asked to stop: "
                                    "has run for its time_limit of 2h"));
  EXPECT_THAT(log.text(),
              HasSubstr("jobs/a: FAILED: has run for its time_limit of 2h"));
}

TEST_F(RunningJobsTest, TrainingThatLoadsStandsWhereItGoesOnFrom) {
  Create(1);
  const auto say = [&](int64_t step, const std::string& phase) {
    AttachRequest message;
    v1::JobProgress* progress = message.mutable_progress()->mutable_progress();
    progress->set_step(step);
    progress->set_total_steps(step > 0 ? 100 : 0);
    progress->set_images_per_second(step > 0 ? 7 : 0);
    progress->set_phase(phase);
    Say(0, message);
  };
  Start();
  Attach(0);
  say(40, "trajectories");
  say(0, "tables");
  // Of other tasks each phase has steps of its own.
  EXPECT_EQ(Job().progress().step(), 0);
  ASSERT_THAT(store_->Update(kName,
                             [](jobs::JobRecord& record, auto*) {
                               record.job.mutable_spec()->mutable_distill();
                               return absl::OkStatus();
                             }),
              IsOk());
  say(40, "training");
  say(0, "loading data");
  EXPECT_EQ(Job().progress().step(), 40);
  EXPECT_EQ(Job().progress().total_steps(), 100);
  EXPECT_EQ(Job().progress().phase(), "loading data");
  EXPECT_EQ(Job().progress().images_per_second(), 0);
}

TEST_F(RunningJobsTest, FailsAJobOfWhichAnotherRankFails) {
  StartPair();
  End(1, Ended::OUTCOME_FAILED, "the data set cannot be read");
  EXPECT_EQ(Job().state(), J::STATE_FAILED);
  EXPECT_EQ(Job().state_reason(),
            "rank 1 on n (pid 11): the data set cannot be read");
  EXPECT_THAT(executor_.killed(), SizeIs(1));
  Exit({.signal = 9});
  EXPECT_TRUE(running_->empty());
}

TEST_F(RunningJobsTest, NamesTheRankThatHangsAndStartsTheGangAgain) {
  StartPair();
  LetHang(1);
  EXPECT_THAT(Events(), HasSubstr("rank 1 on n (pid 11) has not been heard of "
                                  "for 31 s"));
  EXPECT_THAT(Events(), HasSubstr("; the gang is stopped and starts again"));
  ASSERT_THAT(executor_.killed(), SizeIs(1));
  Exit({.signal = 9});
  EXPECT_EQ(Job().state(), J::STATE_QUEUED);
  EXPECT_EQ(store_->Get(kName)->failures, 1);
  EXPECT_THAT(Job().state_reason(), HasSubstr("rank 1 on n (pid 11)"));
}

TEST_F(RunningJobsTest, GivesAJobUpThatHangsAgainAndAgain) {
  Create(2);
  for (int i = 0; i < 4; ++i) {
    Start();
    Attach(0);
    Meet();
    Attach(1);
    LetHang(0);
    Exit({.signal = 9});
  }
  EXPECT_EQ(Job().state(), J::STATE_FAILED);
  EXPECT_THAT(Job().state_reason(),
              HasSubstr("rank 0 on n (pid 10) has not been heard of"));
  EXPECT_THAT(Job().state_reason(), HasSubstr("4 times in a row"));
}

TEST_F(RunningJobsTest, LooksTwiceBeforeItCallsARankHanging) {
  StartPair();
  clock_.Advance(absl::Seconds(40));
  EXPECT_LE(running_->CheckTimeLimits(), clock_.Now() + absl::Seconds(1));
  // What was said meanwhile is only read now.
  Beat(0);
  Beat(1);
  clock_.Advance(absl::Seconds(2));
  running_->CheckTimeLimits();
  EXPECT_THAT(executor_.killed(), IsEmpty());
}

TEST_F(RunningJobsTest, HoldsItsOwnSleepAgainstNobody) {
  StartPair();
  running_->Detached(kName, Epoch(), 1);
  clock_.Advance(absl::Hours(2));
  running_->Overslept(absl::Hours(2));
  running_->CheckTimeLimits();
  clock_.Advance(absl::Seconds(2));
  running_->CheckTimeLimits();
  EXPECT_THAT(executor_.killed(), IsEmpty());
  EXPECT_EQ(Job().state(), J::STATE_RUNNING);
}

TEST_F(RunningJobsTest, EndsAGangOfWhichAStreamStaysBroken) {
  StartPair();
  running_->Detached(kName, Epoch(), 1);
  for (int i = 0; i < 16; ++i) {
    clock_.Advance(absl::Minutes(1));
    Beat(0);
    running_->CheckTimeLimits();
  }
  EXPECT_THAT(executor_.killed(), SizeIs(1));
}

TEST_F(RunningJobsTest, WaitsWithTheExecutorsQueueHoweverLong) {
  Create(2);
  Start();
  running_->Placed(kName, 1, {.waiting = true, .reason = "Slurm: Resources"});
  EXPECT_EQ(Job().state(), J::STATE_STARTING);
  EXPECT_EQ(Job().state_reason(), "Slurm: Resources");
  clock_.Advance(absl::Hours(24));
  running_->CheckTimeLimits();
  EXPECT_THAT(executor_.killed(), IsEmpty());
  running_->Placed(kName, 1, {.nodes = {"n1", "n2"}});
  EXPECT_EQ(Job().state_reason(), "");
  clock_.Advance(absl::Minutes(3));
  running_->CheckTimeLimits();
  EXPECT_THAT(executor_.killed(), SizeIs(1));
}

TEST_F(RunningJobsTest, NotesTheHandleThatTheExecutorTellsLate) {
  Create(1);
  Start();
  running_->Placed(kName, 1, {.handle = "fake 9", .waiting = true});
  EXPECT_EQ(store_->Get(kName)->handle, "fake 9");
  EXPECT_EQ(store_->feed()->GetGang(kName)->executor_id, "fake 9");
}

TEST_F(RunningJobsTest, TriesAgainWhatCouldOnlyNotBeStartedNow) {
  Create(1);
  Start();
  Exit({.not_started = absl::UnavailableError("Slurm: no answer")});
  EXPECT_EQ(Job().state(), J::STATE_QUEUED);
  EXPECT_THAT(Job().state_reason(), HasSubstr("Slurm: no answer"));
  EXPECT_GT(running_->NotBefore(kName), clock_.Now());
  EXPECT_EQ(store_->Get(kName)->failures, 0);
}

TEST_F(RunningJobsTest, FailsAJobThatCanNeverBeStarted) {
  Create(1);
  Start();
  Exit({.not_started = absl::InvalidArgumentError("Slurm: no such account")});
  EXPECT_EQ(Job().state(), J::STATE_FAILED);
  EXPECT_THAT(Job().state_reason(), HasSubstr("Slurm: no such account"));
}

TEST_F(RunningJobsTest, FencesARankThatOutlivesItsLostGang) {
  StartPair();
  running_->Exited(kName, Epoch(), {.lost_node = true});
  clock_.Advance(absl::Seconds(4));
  running_->CheckTimeLimits();
  for (int rank : {0, 1}) {
    ASSERT_THAT(sessions_[rank]->sent(), Not(IsEmpty()));
    EXPECT_EQ(sessions_[rank]->sent().back().control().action(),
              Control::ACTION_FENCED);
    EXPECT_TRUE(sessions_[rank]->closed().has_value());
  }
  EXPECT_EQ(Job().state(), J::STATE_QUEUED);
}

TEST_F(RunningJobsTest, CountsALostNodeAsNoFailureHoweverOften) {
  Create(2);
  for (int i = 0; i < 9; ++i) {
    Start();
    Exit({.known = false, .words = "Slurm: NODE_FAIL (n2)", .lost_node = true});
    EXPECT_EQ(Job().state(), J::STATE_QUEUED);
  }
  EXPECT_EQ(store_->Get(kName)->failures, 0);
  EXPECT_THAT(Job().state_reason(), HasSubstr("Slurm: NODE_FAIL (n2)"));
  EXPECT_THAT(Events(), HasSubstr("not counted as a failure"));
  EXPECT_GT(running_->NotBefore(kName), clock_.Now());
}

TEST_F(RunningJobsTest, DoesNotGoOnWithAJobThatStoppedSinceItWasCancelled) {
  StartPair();
  End(0, Ended::OUTCOME_STOPPED, "stopped by a signal at step 5");
  EXPECT_EQ(Job().state(), J::STATE_QUEUED);
  Exit({.known = false, .words = "Slurm: CANCELLED", .cancelled = true});
  EXPECT_EQ(Job().state(), J::STATE_CANCELLED);
  EXPECT_EQ(Job().state_reason(), "Slurm: CANCELLED");
  EXPECT_TRUE(running_->empty());
}

TEST_F(RunningJobsTest, SaysWhoStoppedAJobThatGoesOn) {
  StartPair();
  End(0, Ended::OUTCOME_STOPPED, "stopped by a signal at step 5");
  Exit({.known = false, .words = "Slurm: requeued the job", .lost_node = true});
  EXPECT_EQ(Job().state(), J::STATE_QUEUED);
  EXPECT_THAT(Events(), HasSubstr("Slurm: requeued the job"));
}

TEST_F(RunningJobsTest, TakesTheExecutorsWordForACancelAndATimeLimit) {
  Create(2, absl::Hours(2));
  Start();
  Exit({.known = false, .words = "Slurm: CANCELLED by 0", .cancelled = true});
  EXPECT_EQ(Job().state(), J::STATE_CANCELLED);
  EXPECT_EQ(Job().state_reason(), "Slurm: CANCELLED by 0");
  ASSERT_THAT(store_->Update(kName,
                             [](jobs::JobRecord& record, auto*) {
                               record.job.set_state(J::STATE_QUEUED);
                               return absl::OkStatus();
                             }),
              IsOk());
  Start();
  Attach(0);
  Meet();
  Attach(1);
  executor_.SetAlive("fake 2");
  clock_.Advance(absl::Hours(3));
  sessions_.clear();
  Restart();
  ASSERT_THAT(running_->Recover(*store_->Get(kName)), IsOk());
  Exit({.known = false, .words = "Slurm: TIMEOUT", .time_limit = true});
  EXPECT_EQ(Job().state(), J::STATE_FAILED);
  EXPECT_EQ(Job().state_reason(), "Slurm: TIMEOUT");
}

TEST_F(RunningJobsTest, GoesOnAfterALimitThatIsThePartitionsAlone) {
  StartPair();
  Exit({.known = false, .words = "Slurm: TIMEOUT", .time_limit = true});
  EXPECT_EQ(Job().state(), J::STATE_QUEUED);
  EXPECT_EQ(store_->Get(kName)->failures, 1);
  EXPECT_THAT(Job().state_reason(), HasSubstr("Slurm: TIMEOUT"));
}

TEST_F(RunningJobsTest, WhatIsStoppedAgainAndAgainBeforeACheckpointFails) {
  Create(1);
  for (int i = 0; i < 4; ++i) {
    Start();
    Attach(0);
    End(0, Ended::OUTCOME_STOPPED, "stopped by a signal");
    EXPECT_EQ(Job().state(), i < 3 ? J::STATE_QUEUED : J::STATE_FAILED) << i;
    Exit({.code = 0});
  }
  EXPECT_THAT(Job().state_reason(), HasSubstr("stopped by a signal"));
}

TEST_F(RunningJobsTest, WhatIsStoppedWithACheckpointGoesOnHoweverOften) {
  Create(1);
  for (int i = 1; i < 9; ++i) {
    Start();
    Attach(0);
    AttachRequest written;
    written.mutable_checkpoint()->mutable_checkpoint()->set_step(i);
    Say(0, written);
    End(0, Ended::OUTCOME_STOPPED, "stopped by a signal");
    EXPECT_EQ(Job().state(), J::STATE_QUEUED) << i;
    Exit({.code = 0});
  }
}

TEST_F(RunningJobsTest, ASilentGangOfALostNodeIsNoFailureOfItsJob) {
  StartPair();
  LetHang(1);
  ASSERT_THAT(executor_.killed(), SizeIs(1));
  Exit({.signal = 9,
        .words = "Slurm: CANCELLED (node n2: DOWN)",
        .lost_node = true});
  EXPECT_EQ(Job().state(), J::STATE_QUEUED);
  EXPECT_EQ(store_->Get(kName)->failures, 0);
  EXPECT_THAT(Events(), HasSubstr("has not been heard of"));
  EXPECT_THAT(Events(), HasSubstr("node n2: DOWN"));
}

TEST_F(RunningJobsTest, StopsAJobThatHasRunForItsTimeLimitInAll) {
  Create(1, absl::Hours(2));
  Start();
  Attach(0);
  clock_.Advance(absl::Minutes(90));
  Exit({.signal = 9});
  EXPECT_EQ(store_->Get(kName)->ran, absl::Minutes(90));
  clock_.Advance(absl::Hours(5));  // in the queue: not counted
  Start();
  Attach(0);
  clock_.Advance(absl::Minutes(29));
  Beat(0);
  running_->CheckTimeLimits();
  EXPECT_NE(LastAction(0), Control::ACTION_PAUSE);
  clock_.Advance(absl::Minutes(1));
  Beat(0);
  running_->CheckTimeLimits();
  EXPECT_EQ(LastAction(0), Control::ACTION_PAUSE);
  End(0, Ended::OUTCOME_STOPPED, "checkpoint at step 5");
  EXPECT_EQ(Job().state(), J::STATE_FAILED);
  EXPECT_THAT(Job().state_reason(),
              HasSubstr("has run for its time_limit of 2h; to go on, clone"));
}

TEST_F(RunningJobsTest, CountsTheTimeLimitAcrossARestartOfTheService) {
  Create(1, absl::Hours(2));
  Start();
  Attach(0);
  executor_.SetAlive("fake 1");
  clock_.Advance(absl::Minutes(110));
  Restart();
  ASSERT_THAT(running_->Recover(*store_->Get(kName)), IsOk());
  Attach(0, /*resumed=*/true);
  clock_.Advance(absl::Minutes(10));
  Beat(0);
  running_->CheckTimeLimits();
  EXPECT_EQ(LastAction(0), Control::ACTION_PAUSE);
}

TEST_F(RunningJobsTest, AdoptsAGangAndWaitsForAllOfItsRanks) {
  StartPair();
  executor_.SetAlive("fake 1");
  Restart();
  ASSERT_THAT(running_->Recover(*store_->Get(kName)), IsOk());
  Attach(0, /*resumed=*/true);
  EXPECT_THAT(sessions_[0]->sent(), IsEmpty());
  clock_.Advance(absl::Seconds(31));
  Beat(0);
  running_->CheckTimeLimits();
  EXPECT_THAT(executor_.killed(), SizeIs(1));
}

TEST_F(RunningJobsTest, NamesTheRankThatTookTheGangWithIt) {
  StartPair();
  Exit({.signal = 11, .rank = 1, .node = "n"});
  EXPECT_THAT(Events(), HasSubstr("worker lost: rank 1 on n: killed by signal "
                                  "11 (Segmentation fault)"));
}

TEST_F(RunningJobsTest, AnEndThatCannotBeStoredIsNotAcknowledged) {
  StartPair();
  SetReadOnly(true);
  End(0, Ended::OUTCOME_SUCCEEDED, "");
  EXPECT_EQ(Job().state(), J::STATE_RUNNING);
  EXPECT_FALSE(sessions_[0]->sent().back().has_acknowledged());
  EXPECT_THAT(sessions_[0]->closed(),
              Optional(StatusIs(absl::StatusCode::kUnavailable)));
  SetReadOnly(false);
  Attach(0, /*resumed=*/true);
  End(0, Ended::OUTCOME_SUCCEEDED, "");
  EXPECT_EQ(Job().state(), J::STATE_SUCCEEDED);
  EXPECT_TRUE(sessions_[0]->sent().back().has_acknowledged());
}

TEST_F(RunningJobsTest, AResultIsNotGivenUpForAnErrorOfTheDatabase) {
  StartPair();
  AttachRequest message;
  message.mutable_ended()->set_outcome(Ended::OUTCOME_SUCCEEDED);
  message.mutable_ended()->add_model_dirs("model");
  models_.FailAdoptWith(absl::DataLossError("database: disk I/O error"));
  Say(0, message);
  EXPECT_EQ(Job().state(), J::STATE_RUNNING);
  models_.FailAdoptWith(absl::DataLossError("its hash is another"));
  Say(0, message);
  EXPECT_EQ(Job().state(), J::STATE_FAILED);
  EXPECT_THAT(Job().state_reason(), HasSubstr("its hash is another"));
}

TEST_F(RunningJobsTest, AFailureOfARankThatCannotBeStoredIsNotAcknowledged) {
  StartPair();
  SetReadOnly(true);
  End(1, Ended::OUTCOME_FAILED, "no");
  EXPECT_FALSE(sessions_[1]->sent().back().has_acknowledged());
  EXPECT_THAT(executor_.killed(), IsEmpty());
  SetReadOnly(false);
  End(1, Ended::OUTCOME_FAILED, "no");
  EXPECT_TRUE(sessions_[1]->sent().back().has_acknowledged());
  EXPECT_EQ(Job().state(), J::STATE_FAILED);
}

TEST_F(RunningJobsTest, ALossThatCannotBeStoredIsTriedAgainAndSaidOnce) {
  const retort::testing::CapturedLog log;
  StartPair();
  SetReadOnly(true);
  Exit({.signal = 9});
  for (int i = 0; i < 3; ++i) Later(absl::Seconds(5));
  EXPECT_TRUE(running_->Has(kName));
  EXPECT_EQ(Job().state(), J::STATE_RUNNING);
  const std::vector<std::string> said =
      absl::StrSplit(log.text(), "cannot be written down");
  EXPECT_THAT(said, SizeIs(2));
  SetReadOnly(false);
  Later(absl::Seconds(5));
  EXPECT_FALSE(running_->Has(kName));
  EXPECT_EQ(Job().state(), J::STATE_QUEUED);
}

TEST_F(RunningJobsTest, ACancelThatCannotBeStoredIsTriedAgain) {
  StartPair();
  End(0, Ended::OUTCOME_STOPPED, "SIGTERM");
  ASSERT_EQ(Job().state(), J::STATE_QUEUED);
  SetReadOnly(true);
  Exit({.words = "Slurm: CANCELLED", .cancelled = true});
  EXPECT_TRUE(running_->Has(kName));
  SetReadOnly(false);
  Later(absl::Seconds(5));
  EXPECT_FALSE(running_->Has(kName));
  EXPECT_EQ(Job().state(), J::STATE_CANCELLED);
}

TEST_F(RunningJobsTest, AJobThatCannotBeDoneIsNotForgottenByADatabaseError) {
  Create(1, absl::ZeroDuration(), "projects/default/models/gone");
  Start();
  ASSERT_THAT(db_->Write([](db::Connection& connection) {
    return connection.Execute(absl::StrCat(
        "CREATE TRIGGER refuse BEFORE UPDATE ON jobs WHEN NEW.state = ",
        static_cast<int>(J::STATE_FAILED),
        " BEGIN SELECT RAISE(ABORT, 'no'); END"));
  }),
              IsOk());
  Attach(0);
  EXPECT_THAT(executor_.killed(), SizeIs(1));
  Exit({.signal = 9});
  EXPECT_EQ(Job().state(), J::STATE_QUEUED);
}

TEST_F(RunningJobsTest, TheEndOfAJobThatIsGoneIsNotTriedAgain) {
  StartPair();
  End(1, Ended::OUTCOME_FAILED, "no");
  ASSERT_THAT(store_->Delete(kName, ""), IsOk());
  running_->Exited(kName, 1, {.cancelled = true});
  EXPECT_FALSE(running_->Has(kName));
}

}  // namespace
}  // namespace retort::scheduler
