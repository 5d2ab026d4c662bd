#include "server/scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "server/base/error.h"
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
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using J = v1::Job;
using Ended = internal::v1::TaskEnded;

class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest() {
    db_ = *db::Database::Open(data_dir_.db_path());
    store_ = *jobs::JobStore::Create(db_.get(), &clock_, data_dir_);
    cluster_store_ = *ClusterStore::Create(db_.get());
    Restart();
    models_.Add("projects/default/models/t", v1::Model::KIND_TEACHER);
  }

  // A new scheduler over the same store, as after a crash of the service.
  void Restart() {
    scheduler_ = std::make_unique<Scheduler>(SchedulerOptions(), &clock_,
                                             store_.get(), &models_, &executor_,
                                             cluster_store_.get(), &metrics_);
  }
  std::string Create(const std::string& id) {
    jobs::NewJob job;
    job.project = "default";
    job.job_id = id;
    auto* estimate = job.job.mutable_spec()->mutable_estimate_preconditioning();
    estimate->set_teacher("projects/default/models/t");
    job.job.mutable_spec()->mutable_resources()->set_cpu_threads(2);
    return store_->CreateJob(job)->name();
  }
  // Creates a job, starts it and attaches its worker.
  std::string Running(const std::string& id) {
    const std::string name = Create(id);
    scheduler_->RunOnce();
    Attach(name);
    return name;
  }
  void Attach(const std::string& name, bool resumed = false) {
    session_ = std::make_shared<FakeWorkerSession>();
    internal::v1::Hello hello;
    hello.set_resumed(resumed);
    scheduler_->OnAttached(name, Epoch(name), hello, session_);
    scheduler_->RunOnce();
  }
  void End(const std::string& name, Ended::Outcome outcome,
           const std::string& reason = "") {
    AttachRequest message;
    message.mutable_ended()->set_outcome(outcome);
    message.mutable_ended()->set_reason(reason);
    if (outcome == Ended::OUTCOME_SUCCEEDED) {
      message.mutable_ended()->add_model_dirs("result/model");
    }
    scheduler_->OnMessage(name, Epoch(name), 0, message);
    scheduler_->RunOnce();
  }
  // The worker says that it has written a checkpoint.
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
  // The job is paused and its worker has been told.
  void Pause(const std::string& name) {
    ASSERT_THAT(scheduler_->Pause(name), IsOk());
    scheduler_->RunOnce();
  }
  // The worker's process ends, its stream just before.
  void Exit(const std::string& name, const executor::ExitStatus& exit) {
    const int64_t epoch = Epoch(name);
    scheduler_->OnDetached(name, epoch, 0);
    scheduler_->OnExited(name, epoch, exit);
    scheduler_->RunOnce();
  }
  void ForgetHandle(const std::string& name) {
    ASSERT_THAT(store_->Update(name,
                               [](jobs::JobRecord& record, auto*) {
                                 record.handle.clear();
                                 return absl::OkStatus();
                               }),
                IsOk());
  }
  // Makes the database full, or not: see PRAGMA max_page_count.
  void LimitPages(int pages) {
    ASSERT_THAT(db_->Read([&](db::Connection& connection) {
      return connection.Query(absl::StrCat("PRAGMA max_page_count = ", pages),
                              {}, [](const auto&) { return absl::OkStatus(); });
    }),
                IsOk());
  }
  int64_t Epoch(const std::string& name) { return store_->Get(name)->epoch; }
  v1::Job Job(const std::string& name) { return store_->Get(name)->job; }
  jobs::State StateOf(const std::string& name) { return Job(name).state(); }
  // What the worker was sent last.
  Control::Action LastAction() {
    return session_->sent().back().control().action();
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
  std::shared_ptr<FakeWorkerSession> session_;
};

TEST_F(SchedulerTest, StartsAWorkerAndGivesItItsAssignment) {
  const std::string name = Create("a");
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_STARTING);
  ASSERT_THAT(executor_.started(), SizeIs(1));
  EXPECT_EQ(executor_.started()[0].epoch, 1);
  EXPECT_EQ(store_->Get(name)->handle, "fake 1");
  Attach(name);
  EXPECT_EQ(StateOf(name), J::STATE_RUNNING);
  ASSERT_THAT(session_->sent(), SizeIs(1));
  const internal::v1::Assignment assignment = session_->sent()[0].assignment();
  EXPECT_EQ(assignment.job_dir(), data_dir_.job_dir("a"));
  EXPECT_EQ(assignment.threads(), 2);
  EXPECT_EQ(assignment.model_dirs().at("projects/default/models/t"),
            "/models/projects/default/models/t");
}

TEST_F(SchedulerTest, TakesProgressAndCheckpointsToTheStore) {
  const std::string name = Running("a");
  AttachRequest message;
  message.mutable_progress()->mutable_progress()->set_step(7);
  (*message.mutable_progress()->mutable_metrics())["loss"] = 0.5;
  scheduler_->OnMessage(name, 1, 0, message);
  message.mutable_checkpoint()->mutable_checkpoint()->set_step(5);
  scheduler_->OnMessage(name, 1, 0, message);
  scheduler_->RunOnce();
  EXPECT_EQ(Job(name).progress().step(), 7);
  EXPECT_THAT(*store_->ListMetrics(name, {}, 10), SizeIs(1));
  EXPECT_THAT(store_->ListEvents(name, 0, 99)->back().event().message(),
              HasSubstr("checkpoint at step 5"));
}

TEST_F(SchedulerTest, RegistersTheModelBeforeTheJobHasSucceeded) {
  const std::string name = Running("a");
  End(name, Ended::OUTCOME_SUCCEEDED);
  EXPECT_EQ(StateOf(name), J::STATE_SUCCEEDED);
  EXPECT_THAT(Job(name).models(), ElementsAre("projects/default/models/a"));
  EXPECT_EQ(models_.AdoptedFrom("projects/default/models/a"),
            data_dir_.job_dir("a") + "/result/model");
  EXPECT_TRUE(session_->sent().back().has_acknowledged());
}

TEST_F(SchedulerTest, AcknowledgesARepeatedEndWithoutDoingItAgain) {
  const std::string name = Running("a");
  End(name, Ended::OUTCOME_SUCCEEDED);
  const size_t events = store_->ListEvents(name, 0, 99)->size();
  End(name, Ended::OUTCOME_SUCCEEDED);
  EXPECT_EQ(store_->ListEvents(name, 0, 99)->size(), events);
  EXPECT_TRUE(session_->sent().back().has_acknowledged());
}

TEST_F(SchedulerTest, LetsTheWorkerSayItAgainWhenTheDiskIsFull) {
  const std::string name = Running("a");
  models_.FailAdoptWith(absl::ResourceExhaustedError("disk full"));
  End(name, Ended::OUTCOME_SUCCEEDED);
  EXPECT_EQ(StateOf(name), J::STATE_RUNNING);
  EXPECT_THAT(session_->closed(),
              ::testing::Optional(StatusIs(absl::StatusCode::kUnavailable)));
  models_.FailAdoptWith(absl::OkStatus());
  scheduler_->OnDetached(name, 1, 0);
  Attach(name, /*resumed=*/true);
  End(name, Ended::OUTCOME_SUCCEEDED);
  EXPECT_EQ(StateOf(name), J::STATE_SUCCEEDED);
}

TEST_F(SchedulerTest, FailsAJobThatItsWorkerGaveUp) {
  const std::string name = Running("a");
  End(name, Ended::OUTCOME_FAILED, "the loss is not finite");
  EXPECT_EQ(StateOf(name), J::STATE_FAILED);
  EXPECT_EQ(Job(name).state_reason(), "the loss is not finite");
}

TEST_F(SchedulerTest, RunsTheNextJobOnceTheProcessIsGone) {
  const std::string first = Running("a");
  const std::string second = Create("b");
  End(first, Ended::OUTCOME_FAILED);
  EXPECT_THAT(executor_.started(), SizeIs(1));
  Exit(first, {});
  EXPECT_THAT(executor_.started(), SizeIs(2));
  EXPECT_EQ(StateOf(second), J::STATE_STARTING);
}

TEST_F(SchedulerTest, PutsAJobThatLostItsWorkerBackWithTheCause) {
  const std::string name = Running("a");
  std::ofstream(base::JobDir(data_dir_.job_dir("a")).log_path())
      << "step 41\nstep 42\n";
  Exit(name, {.signal = 9});
  EXPECT_EQ(StateOf(name), J::STATE_QUEUED);
  std::string warning;
  const auto events = *store_->ListEvents(name, 0, 99);
  for (const auto& event : events) {
    if (event.event().kind() == v1::JobEvent::KIND_WARNING) {
      warning = event.event().message();
    }
  }
  EXPECT_THAT(warning, HasSubstr("killed by signal 9 (Killed)"));
  EXPECT_THAT(warning, HasSubstr("step 42"));
  EXPECT_THAT(Job(name).state_reason(), HasSubstr("; starts again, try 1"));
  // Not at once, but soon.
  EXPECT_THAT(executor_.started(), SizeIs(1));
  clock_.Advance(absl::Seconds(2));
  scheduler_->RunOnce();
  ASSERT_THAT(executor_.started(), SizeIs(2));
  EXPECT_EQ(executor_.started()[1].epoch, 2);
}

TEST_F(SchedulerTest, SaysThatAJobGoesOnOnlyIfItHasACheckpoint) {
  const std::string name = Running("a");
  ASSERT_THAT(
      base::MakeDirs(base::JobDir(data_dir_.job_dir("a")).checkpoint_dir(5)),
      IsOk());
  AttachRequest message;
  message.mutable_checkpoint()->mutable_checkpoint()->set_step(5);
  scheduler_->OnMessage(name, Epoch(name), 0, message);
  Exit(name, {.signal = 9});
  EXPECT_EQ(StateOf(name), J::STATE_QUEUED);
  EXPECT_THAT(Job(name).state_reason(),
              HasSubstr("; goes on from its last checkpoint, try 1"));
}

TEST_F(SchedulerTest, FailsAJobThatKeepsLosingItsWorker) {
  const std::string name = Running("a");
  for (int i = 0; i < 3; ++i) {
    Exit(name, {.code = 1});
    ASSERT_EQ(StateOf(name), J::STATE_QUEUED) << i;
    clock_.Advance(absl::Minutes(1));
    scheduler_->RunOnce();
    Attach(name);
  }
  Exit(name, {.code = 1});
  EXPECT_EQ(StateOf(name), J::STATE_FAILED);
  EXPECT_THAT(Job(name).state_reason(), HasSubstr("exit code 1"));
}

TEST_F(SchedulerTest, HearsAProcessOutThatEndedBeforeItsStream) {
  const std::string name = Running("a");
  scheduler_->OnExited(name, 1, {});
  scheduler_->RunOnce();
  End(name, Ended::OUTCOME_SUCCEEDED);
  EXPECT_EQ(StateOf(name), J::STATE_SUCCEEDED);
}

TEST_F(SchedulerTest, CancelsAQueuedJobAtOnce) {
  Running("a");
  const std::string name = Create("b");
  ASSERT_THAT(scheduler_->Cancel(name), IsOk());
  EXPECT_EQ(StateOf(name), J::STATE_CANCELLED);
  const auto again = scheduler_->Cancel(name);
  EXPECT_THAT(again, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(service::ReasonOf(again.status()), v1::ERROR_REASON_STATE_CONFLICT);
}

TEST_F(SchedulerTest, AsksTheWorkerOfACancelledJobToEnd) {
  const std::string name = Running("a");
  ASSERT_THAT(scheduler_->Cancel(name), IsOk());
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_CANCELLING);
  EXPECT_EQ(LastAction(), Control::ACTION_CANCEL);
  End(name, Ended::OUTCOME_CANCELLED);
  EXPECT_EQ(StateOf(name), J::STATE_CANCELLED);
}

TEST_F(SchedulerTest, KillsACancelledWorkerThatDoesNotListen) {
  const std::string name = Running("a");
  ASSERT_THAT(scheduler_->Cancel(name), IsOk());
  scheduler_->RunOnce();
  clock_.Advance(absl::Minutes(3));
  scheduler_->RunOnce();
  EXPECT_THAT(executor_.killed(), SizeIs(1));
  Exit(name, {.signal = 9});
  EXPECT_EQ(StateOf(name), J::STATE_CANCELLED);
}

TEST_F(SchedulerTest, LetsAWorkerGoOnAloneUntilItsLeaseEnds) {
  const std::string name = Running("a");
  scheduler_->OnDetached(name, 1, 0);
  scheduler_->RunOnce();
  clock_.Advance(absl::Minutes(14));
  scheduler_->RunOnce();
  EXPECT_THAT(executor_.killed(), IsEmpty());
  clock_.Advance(absl::Minutes(2));
  scheduler_->RunOnce();
  EXPECT_THAT(executor_.killed(), SizeIs(1));
}

TEST_F(SchedulerTest, FencesAWorkerOfAnEarlierIncarnation) {
  const std::string name = Running("a");
  auto stale = std::make_shared<FakeWorkerSession>();
  scheduler_->OnAttached(name, 0, internal::v1::Hello(), stale);
  scheduler_->RunOnce();
  ASSERT_THAT(stale->sent(), SizeIs(1));
  EXPECT_EQ(stale->sent()[0].control().action(), Control::ACTION_FENCED);
  EXPECT_TRUE(stale->closed().has_value());
}

TEST_F(SchedulerTest, FindsARunningWorkerAgainAfterARestart) {
  const std::string name = Running("a");
  executor_.SetAlive("fake 1");
  Restart();
  ASSERT_THAT(scheduler_->Recover(), IsOk());
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_RUNNING);
  Attach(name, /*resumed=*/true);
  EXPECT_THAT(session_->sent(), IsEmpty());
  End(name, Ended::OUTCOME_SUCCEEDED);
  EXPECT_EQ(StateOf(name), J::STATE_SUCCEEDED);
  EXPECT_EQ(Job(name).attempts(), 1);
}

TEST_F(SchedulerTest, StartsAJobAnewWhoseWorkerDiedWithTheServer) {
  const std::string name = Running("a");
  Restart();
  ASSERT_THAT(scheduler_->Recover(), IsOk());
  EXPECT_EQ(StateOf(name), J::STATE_QUEUED);
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_STARTING);
  EXPECT_EQ(Epoch(name), 2);
  EXPECT_EQ(store_->Get(name)->failures, 0);
}

TEST_F(SchedulerTest, KillsAnOldWorkerThatDoesNotComeBack) {
  const std::string name = Running("a");
  executor_.SetAlive("fake 1");
  Restart();
  ASSERT_THAT(scheduler_->Recover(), IsOk());
  clock_.Advance(absl::Seconds(31));
  scheduler_->RunOnce();
  ASSERT_THAT(executor_.killed(), SizeIs(1));
  scheduler_->OnExited(name, 1, {.known = false});
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_QUEUED);
}

TEST_F(SchedulerTest, LooksForAGangWhoseHandleWasNeverNoted) {
  const std::string name = Create("a");
  scheduler_->RunOnce();
  // The server fell between the start of the gang and the note of its handle.
  ForgetHandle(name);
  executor_.SetAlive("fake 1");
  Restart();
  ASSERT_THAT(scheduler_->Recover(), IsOk());
  EXPECT_THAT(executor_.adopted(), SizeIs(1));
  EXPECT_EQ(store_->Get(name)->handle, "fake 1");
  EXPECT_EQ(StateOf(name), J::STATE_STARTING);
}

TEST_F(SchedulerTest, RunsNothingTwiceThatAnotherExecutorMayStillRun) {
  const std::string name = Running("a");
  ASSERT_THAT(store_->Update(name,
                             [](jobs::JobRecord& record, auto*) {
                               record.handle = "elsewhere 7";
                               return absl::OkStatus();
                             }),
              IsOk());
  Restart();
  ASSERT_THAT(scheduler_->Recover(), IsOk());
  EXPECT_EQ(StateOf(name), J::STATE_FAILED);
  EXPECT_THAT(Job(name).state_reason(), HasSubstr("elsewhere 7"));
}

TEST_F(SchedulerTest, AsksForCheckpointsWhenItStopsAndRequeuesTheJobs) {
  const std::string name = Running("a");
  Create("b");
  scheduler_->Stop(absl::ZeroDuration());
  scheduler_->RunOnce();
  EXPECT_EQ(LastAction(), Control::ACTION_PAUSE);
  End(name, Ended::OUTCOME_STOPPED, "checkpoint at step 5");
  EXPECT_EQ(StateOf(name), J::STATE_QUEUED);
  Exit(name, {});
  // No new ones while it stops.
  EXPECT_THAT(executor_.started(), SizeIs(1));
}

TEST_F(SchedulerTest, FailsAJobWhoseWorkerCannotBeStarted) {
  executor_.SetStartError(absl::NotFoundError("no retort-worker there"));
  const std::string name = Create("a");
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_FAILED);
  EXPECT_THAT(Job(name).state_reason(), HasSubstr("no retort-worker there"));
}

TEST_F(SchedulerTest, TriesAgainWhenAWorkerCannotBeStartedForNow) {
  executor_.SetStartError(absl::UnavailableError("no more processes"));
  const std::string name = Create("a");
  // Its place may be another's: the queue is looked at again at once.
  EXPECT_EQ(scheduler_->RunOnce(), clock_.Now());
  EXPECT_EQ(scheduler_->RunOnce(), clock_.Now() + absl::Seconds(10));
  EXPECT_EQ(StateOf(name), J::STATE_QUEUED);
  EXPECT_THAT(Job(name).state_reason(), HasSubstr("no more processes"));
  executor_.SetStartError(absl::OkStatus());
  clock_.Advance(absl::Seconds(10));
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_STARTING);
}

TEST_F(SchedulerTest, AJobWithoutAProcessWaitsLongerEachTime) {
  executor_.SetStartError(absl::ResourceExhaustedError("disk full"));
  const std::string name = Create("a");
  for (const int seconds : {10, 20, 40, 80, 160, 320, 600, 600}) {
    scheduler_->RunOnce();
    ASSERT_EQ(scheduler_->RunOnce(), clock_.Now() + absl::Seconds(seconds));
    clock_.Advance(absl::Seconds(seconds));
  }
  EXPECT_EQ(StateOf(name), J::STATE_QUEUED);
  EXPECT_THAT(Job(name).state_reason(), HasSubstr("disk full"));
}

TEST_F(SchedulerTest, AJobThatFoundTheDiskFullWaitsAndIsNeverGivenUp) {
  const std::string name = Running("a");
  for (const int seconds : {10, 20, 40, 80, 160, 320, 600, 600}) {
    End(name, Ended::OUTCOME_DEFERRED, "no room for the result");
    Exit(name, {});
    ASSERT_EQ(StateOf(name), J::STATE_QUEUED);
    EXPECT_EQ(Job(name).state_reason(), "no room for the result");
    clock_.Advance(absl::Seconds(seconds - 1));
    scheduler_->RunOnce();
    ASSERT_EQ(StateOf(name), J::STATE_QUEUED);
    clock_.Advance(absl::Seconds(1));
    scheduler_->RunOnce();
    Attach(name);
  }
  EXPECT_EQ(StateOf(name), J::STATE_RUNNING);
  // Where something has been done meanwhile, the wait is short again.
  AttachRequest message;
  message.mutable_checkpoint()->mutable_checkpoint()->set_step(5);
  scheduler_->OnMessage(name, Epoch(name), 0, message);
  End(name, Ended::OUTCOME_DEFERRED, "no room for the result");
  Exit(name, {});
  clock_.Advance(absl::Seconds(10));
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_STARTING);
}

TEST_F(SchedulerTest, ALossThatCannotBeWrittenDownIsWrittenDownLater) {
  const std::string name = Running("a");
  // Lines that need pages of their own, in a database that may not grow.
  std::ofstream(base::JobDir(data_dir_.job_dir("a")).log_path())
      << std::string(20000, 'x') << "\n";
  LimitPages(1);
  Exit(name, {.signal = SIGKILL});
  EXPECT_EQ(StateOf(name), J::STATE_RUNNING);
  clock_.Advance(absl::Seconds(5));
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_RUNNING);
  LimitPages(1 << 20);
  clock_.Advance(absl::Seconds(5));
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_QUEUED);
  clock_.Advance(absl::Seconds(2));
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_STARTING);
}

TEST_F(SchedulerTest, AJobToSettleCanBeCancelled) {
  const std::string name = Running("a");
  std::ofstream(base::JobDir(data_dir_.job_dir("a")).log_path())
      << std::string(20000, 'x') << "\n";
  LimitPages(1);
  Exit(name, {.signal = SIGKILL});
  LimitPages(1 << 20);
  ASSERT_THAT(scheduler_->Cancel(name), IsOk());
  scheduler_->RunOnce();
  clock_.Advance(absl::Seconds(5));
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_CANCELLED);
}

TEST_F(SchedulerTest, PausesAWaitingJobAtOnceAndResumesIt) {
  const std::string name = Create("a");
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job paused, scheduler_->Pause(name));
  EXPECT_EQ(paused.state(), J::STATE_PAUSED);
  scheduler_->RunOnce();
  EXPECT_THAT(executor_.started(), IsEmpty());
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job resumed, scheduler_->Resume(name));
  EXPECT_EQ(resumed.state(), J::STATE_QUEUED);
  EXPECT_THAT(resumed.state_reason(), HasSubstr("it starts again"));
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_STARTING);
}

TEST_F(SchedulerTest, PausesARunningJobWithACheckpointAndGoesOnFromIt) {
  const std::string name = Running("a");
  Pause(name);
  EXPECT_EQ(StateOf(name), J::STATE_PAUSING);
  EXPECT_EQ(LastAction(), Control::ACTION_PAUSE);
  Checkpoint(name, 5);
  End(name, Ended::OUTCOME_STOPPED, "paused at step 5");
  EXPECT_EQ(StateOf(name), J::STATE_PAUSED);
  EXPECT_EQ(Job(name).state_reason(), "paused at step 5");
  EXPECT_TRUE(session_->sent().back().has_acknowledged());
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job resumed, scheduler_->Resume(name));
  EXPECT_THAT(resumed.state_reason(),
              HasSubstr("goes on from its checkpoint of step 5"));
  // Not before the old process is gone, which may still write.
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_QUEUED);
  Exit(name, {});
  EXPECT_EQ(StateOf(name), J::STATE_STARTING);
  EXPECT_EQ(Epoch(name), 2);
}

TEST_F(SchedulerTest, SaysThatAPausedJobWithoutACheckpointStartsAgain) {
  const std::string name = Running("a");
  Pause(name);
  End(name, Ended::OUTCOME_STOPPED, "paused");
  EXPECT_EQ(Job(name).state_reason(),
            "paused; there is no checkpoint: when resumed it starts again");
}

TEST_F(SchedulerTest, LeavesTheSlotsOfAPausedJobToOthers) {
  const std::string first = Running("a");
  const std::string second = Create("b");
  Pause(first);
  EXPECT_EQ(StateOf(second), J::STATE_QUEUED);
  End(first, Ended::OUTCOME_STOPPED);
  Exit(first, {});
  EXPECT_EQ(StateOf(first), J::STATE_PAUSED);
  EXPECT_EQ(StateOf(second), J::STATE_STARTING);
  EXPECT_THAT(scheduler_->cluster()->Gangs(), ElementsAre(second));
}

TEST_F(SchedulerTest, AsksAWorkerThatStartsToPauseAsSoonAsItAttaches) {
  const std::string name = Create("a");
  scheduler_->RunOnce();
  Pause(name);
  EXPECT_EQ(StateOf(name), J::STATE_PAUSING);
  EXPECT_THAT(executor_.terminated(), IsEmpty());
  Attach(name);
  EXPECT_EQ(StateOf(name), J::STATE_PAUSING);
  ASSERT_THAT(session_->sent(), SizeIs(2));
  EXPECT_TRUE(session_->sent()[0].has_assignment());
  EXPECT_EQ(LastAction(), Control::ACTION_PAUSE);
}

TEST_F(SchedulerTest, PausesWithASignalWhenTheStreamIsBroken) {
  const std::string name = Running("a");
  scheduler_->OnDetached(name, 1, 0);
  scheduler_->RunOnce();
  Pause(name);
  EXPECT_THAT(executor_.terminated(), SizeIs(1));
  // It attaches again to say its last word, and is asked again.
  Attach(name, /*resumed=*/true);
  EXPECT_EQ(LastAction(), Control::ACTION_PAUSE);
  End(name, Ended::OUTCOME_STOPPED);
  EXPECT_EQ(StateOf(name), J::STATE_PAUSED);
}

TEST_F(SchedulerTest, PausingTwiceIsPausingOnce) {
  const std::string name = Running("a");
  Pause(name);
  const size_t events = store_->ListEvents(name, 0, 99)->size();
  RETORT_ASSERT_OK_AND_ASSIGN(v1::Job again, scheduler_->Pause(name));
  EXPECT_EQ(again.state(), J::STATE_PAUSING);
  End(name, Ended::OUTCOME_STOPPED);
  RETORT_ASSERT_OK_AND_ASSIGN(again, scheduler_->Pause(name));
  EXPECT_EQ(again.state(), J::STATE_PAUSED);
  EXPECT_EQ(store_->ListEvents(name, 0, 99)->size(), events + 1);
}

TEST_F(SchedulerTest, AJobThatEndsBeforeItCouldPauseHasEnded) {
  const std::string fast = Running("a");
  Pause(fast);
  End(fast, Ended::OUTCOME_SUCCEEDED);
  EXPECT_EQ(StateOf(fast), J::STATE_SUCCEEDED);
  Exit(fast, {});
  const std::string broken = Running("b");
  Pause(broken);
  End(broken, Ended::OUTCOME_FAILED, "the loss is not finite");
  EXPECT_EQ(StateOf(broken), J::STATE_FAILED);
  for (const std::string& name : {fast, broken}) {
    const auto late = scheduler_->Pause(name);
    EXPECT_THAT(late, StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_EQ(service::ReasonOf(late.status()),
              v1::ERROR_REASON_STATE_CONFLICT);
  }
}

TEST_F(SchedulerTest, AWorkerLostWhilePausingLeavesAPausedJob) {
  const std::string name = Running("a");
  Checkpoint(name, 5);
  Pause(name);
  Exit(name, {.signal = SIGKILL});
  EXPECT_EQ(StateOf(name), J::STATE_PAUSED);
  EXPECT_THAT(Job(name).state_reason(),
              HasSubstr("when resumed it goes on from its last checkpoint"));
  EXPECT_EQ(store_->Get(name)->failures, 0);
  clock_.Advance(absl::Hours(1));
  scheduler_->RunOnce();
  EXPECT_THAT(executor_.started(), SizeIs(1));
}

TEST_F(SchedulerTest, KillsAPausingWorkerThatDoesNotListen) {
  const std::string name = Running("a");
  Pause(name);
  clock_.Advance(absl::Minutes(9));
  scheduler_->RunOnce();
  EXPECT_THAT(executor_.killed(), IsEmpty());
  clock_.Advance(absl::Minutes(2));
  scheduler_->RunOnce();
  EXPECT_THAT(executor_.killed(), SizeIs(1));
  Exit(name, {.signal = SIGKILL});
  EXPECT_EQ(StateOf(name), J::STATE_PAUSED);
}

TEST_F(SchedulerTest, CancelsAPausingAndAPausedJob) {
  const std::string pausing = Running("a");
  Pause(pausing);
  ASSERT_THAT(scheduler_->Cancel(pausing), IsOk());
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(pausing), J::STATE_CANCELLING);
  EXPECT_EQ(LastAction(), Control::ACTION_CANCEL);
  EXPECT_THAT(scheduler_->Pause(pausing),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  End(pausing, Ended::OUTCOME_CANCELLED);
  EXPECT_EQ(StateOf(pausing), J::STATE_CANCELLED);
  const std::string paused = Create("b");
  Pause(paused);
  ASSERT_THAT(scheduler_->Cancel(paused), IsOk());
  EXPECT_EQ(StateOf(paused), J::STATE_CANCELLED);
}

TEST_F(SchedulerTest, ResumesACancelledOrFailedJobWithAllItsTries) {
  const std::string name = Running("a");
  for (int i = 0; i < 4; ++i) {
    Exit(name, {.code = 1});
    clock_.Advance(absl::Minutes(1));
    scheduler_->RunOnce();
    if (i < 3) Attach(name);
  }
  ASSERT_EQ(StateOf(name), J::STATE_FAILED);
  EXPECT_TRUE(Job(name).has_end_time());
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job resumed, scheduler_->Resume(name));
  EXPECT_EQ(resumed.state(), J::STATE_QUEUED);
  EXPECT_FALSE(resumed.has_end_time());
  scheduler_->RunOnce();
  Attach(name);
  Exit(name, {.code = 1});
  EXPECT_EQ(StateOf(name), J::STATE_QUEUED);
  EXPECT_THAT(Job(name).state_reason(), HasSubstr("try 1 of 3"));
  // No wait holds back what is asked for.
  Pause(name);
  ASSERT_THAT(scheduler_->Resume(name), IsOk());
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_STARTING);
  Attach(name);
  ASSERT_THAT(scheduler_->Cancel(name), IsOk());
  End(name, Ended::OUTCOME_CANCELLED);
  ASSERT_THAT(scheduler_->Resume(name), IsOk());
  Exit(name, {});
  EXPECT_EQ(StateOf(name), J::STATE_STARTING);
}

TEST_F(SchedulerTest, ResumesNothingThatIsNotOnHold) {
  const std::string running = Running("a");
  const std::string waiting = Create("b");
  const auto refused = [&](const std::string& name, const std::string& why) {
    const auto job = scheduler_->Resume(name);
    EXPECT_THAT(
        job, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(why)));
    EXPECT_EQ(service::ReasonOf(job.status()), v1::ERROR_REASON_STATE_CONFLICT);
  };
  refused(waiting, "is QUEUED and not on hold");
  refused(running, "is RUNNING and not on hold");
  Pause(running);
  refused(running, "resume it once it is PAUSED");
  ASSERT_THAT(scheduler_->Cancel(running), IsOk());
  refused(running, "resume it once it is CANCELLED");
  End(running, Ended::OUTCOME_SUCCEEDED);
  refused(running, "nothing left to do");
}

TEST_F(SchedulerTest, ResumesNothingThatHasUsedUpItsTimeLimit) {
  const std::string name = Create("a");
  ASSERT_THAT(store_->Update(name,
                             [](jobs::JobRecord& record, auto*) {
                               record.job.mutable_spec()
                                   ->mutable_resources()
                                   ->mutable_time_limit()
                                   ->set_seconds(7200);
                               return absl::OkStatus();
                             }),
              IsOk());
  scheduler_->RunOnce();
  Attach(name);
  Checkpoint(name, 5);
  Checkpoint(name, 9);
  clock_.Advance(absl::Hours(2));
  scheduler_->RunOnce();
  End(name, Ended::OUTCOME_STOPPED);
  ASSERT_EQ(StateOf(name), J::STATE_FAILED);
  const v1::Job before = Job(name);
  const absl::Status refused = scheduler_->Resume(name, 5).status();
  EXPECT_THAT(
      refused,
      StatusIs(absl::StatusCode::kFailedPrecondition,
               HasSubstr("time_limit of 2h; to go on, clone it with a longer "
                         "one: `retort jobs clone projects/default/jobs/a "
                         "--from-step 9 --set spec.resources.time_limit=")));
  EXPECT_EQ(service::ReasonOf(refused), v1::ERROR_REASON_STATE_CONFLICT);
  EXPECT_EQ(Job(name).DebugString(), before.DebugString());
  EXPECT_THAT(*store_->ListCheckpoints(name), SizeIs(2));
}

TEST_F(SchedulerTest, RefusesToStopWhatHasEnded) {
  const std::string name = Running("a");
  End(name, Ended::OUTCOME_SUCCEEDED);
  EXPECT_THAT(scheduler_->Cancel(name),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is SUCCEEDED: it has ended already")));
  EXPECT_THAT(scheduler_->Pause(name),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is SUCCEEDED: it has ended already, and "
                                 "cannot be paused")));
}

TEST_F(SchedulerTest, AnOldRequestDoesNotReachALaterWorker) {
  const std::string name = Running("a");
  // Paused, and over, before the scheduler's thread hears of the request.
  ASSERT_THAT(scheduler_->Pause(name), IsOk());
  ASSERT_THAT(store_->Update(name,
                             [](jobs::JobRecord& record, auto*) {
                               record.job.set_state(J::STATE_PAUSED);
                               return absl::OkStatus();
                             }),
              IsOk());
  scheduler_->RunOnce();
  EXPECT_FALSE(session_->sent().back().has_control());
}

TEST_F(SchedulerTest, APausingJobIsPausedIfItsWorkerDiedWithTheServer) {
  const std::string name = Running("a");
  Pause(name);
  Restart();
  ASSERT_THAT(scheduler_->Recover(), IsOk());
  EXPECT_EQ(StateOf(name), J::STATE_PAUSED);
  Restart();
  ASSERT_THAT(scheduler_->Recover(), IsOk());
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_PAUSED);
  EXPECT_THAT(executor_.started(), SizeIs(1));
}

TEST_F(SchedulerTest, AsksTheWorkerOfAPausingJobAgainAfterARestart) {
  const std::string name = Running("a");
  Pause(name);
  executor_.SetAlive("fake 1");
  Restart();
  ASSERT_THAT(scheduler_->Recover(), IsOk());
  scheduler_->RunOnce();
  EXPECT_EQ(StateOf(name), J::STATE_PAUSING);
  Attach(name, /*resumed=*/true);
  EXPECT_EQ(LastAction(), Control::ACTION_PAUSE);
  End(name, Ended::OUTCOME_STOPPED);
  EXPECT_EQ(StateOf(name), J::STATE_PAUSED);
}

TEST_F(SchedulerTest, APausingJobIsPausedByAServiceThatStops) {
  const std::string name = Running("a");
  Pause(name);
  scheduler_->Stop(absl::ZeroDuration());
  scheduler_->RunOnce();
  End(name, Ended::OUTCOME_STOPPED);
  EXPECT_EQ(StateOf(name), J::STATE_PAUSED);
}

TEST_F(SchedulerTest, CancelsAJobWhoseGangIsNotFoundAfterARestart) {
  const std::string name = Create("a");
  scheduler_->RunOnce();
  ASSERT_THAT(scheduler_->Cancel(name), IsOk());
  ForgetHandle(name);
  Restart();
  ASSERT_THAT(scheduler_->Recover(), IsOk());
  EXPECT_EQ(StateOf(name), J::STATE_CANCELLED);
}

}  // namespace
}  // namespace retort::scheduler
