#include "server/batching/deployment_runtime.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/base/error.h"
#include "tests/support/fake_worker_session.h"
#include "tests/support/status_matchers.h"
#include "tests/support/worker_messages.h"

namespace retort::batching {
namespace {

using testing::AnswerMessage;
using ::testing::ElementsAre;
using testing::FakeWorkerSession;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::ReadyMessage;
using testing::StatusIs;

class DeploymentRuntimeTest : public ::testing::Test {
 protected:
  DeploymentRuntimeTest() { Make(1); }

  void Make(int replicas) {
    v1::Deployment config;
    config.set_name("projects/default/deployments/d");
    config.set_replicas(replicas);
    config.set_cpu_threads(3);
    ServedModel model;
    model.name = "projects/default/models/m";
    model.dir = "/models/m";
    options_.max_restarts = 2;
    runtime_ = std::make_unique<DeploymentRuntime>(config, model, options_,
                                                   QueueLimits());
    actions_ = Actions();
    runtime_->Start(now_, &actions_);
  }

  // The epoch of the i-th process that was asked for.
  int64_t Epoch(size_t i) { return actions_.starts.at(i); }

  std::shared_ptr<FakeWorkerSession> Attach(int64_t epoch) {
    auto session = std::make_shared<FakeWorkerSession>();
    runtime_->OnAttached(epoch, session, now_, &actions_);
    return session;
  }
  std::shared_ptr<FakeWorkerSession> MakeReady(int64_t epoch) {
    auto session = Attach(epoch);
    runtime_->OnMessage(epoch, ReadyMessage(), now_, &actions_);
    return session;
  }
  absl::Status Submit(int64_t id,
                      absl::Time deadline = absl::InfiniteFuture()) {
    SampleEntry entry;
    entry.id = id;
    entry.request.set_samples(1);
    entry.arrival = now_;
    entry.deadline = deadline;
    return runtime_->Submit(std::move(entry), now_, &actions_);
  }
  void Advance(absl::Duration by) {
    now_ += by;
    runtime_->Tick(now_, &actions_);
  }
  // Messages that were queued for a session since the last call.
  std::vector<internal::v1::AttachResponse> Sent() {
    std::vector<internal::v1::AttachResponse> sent;
    for (auto& message : actions_.messages) sent.push_back(message.response);
    actions_.messages.clear();
    return sent;
  }
  std::vector<int64_t> TaskIds() {
    std::vector<int64_t> ids;
    for (const auto& message : Sent()) {
      if (message.has_sample()) {
        ids.push_back(message.sample().cancel() ? -message.sample().id()
                                                : message.sample().id());
      }
    }
    return ids;
  }
  absl::Status ResultOf(int64_t id) {
    for (const auto& answer : actions_.answers) {
      if (answer.entry.id == id) return answer.result.status();
    }
    return absl::UnknownError("no answer yet");
  }
  v1::Deployment Described() {
    v1::Deployment deployment;
    runtime_->Describe(now_, &deployment);
    return deployment;
  }

  absl::Time now_ = absl::FromUnixSeconds(1000);
  ReplicaOptions options_;
  std::unique_ptr<DeploymentRuntime> runtime_;
  Actions actions_;
};

TEST_F(DeploymentRuntimeTest, IsReadyWhenAReplicaHasLoadedItsModel) {
  EXPECT_EQ(Described().state(), v1::Deployment::STATE_STARTING);
  Attach(Epoch(0));
  const auto sent = Sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].assignment().model_dir(), "/models/m");
  EXPECT_EQ(sent[0].assignment().threads(), 3);
  EXPECT_EQ(Described().state(), v1::Deployment::STATE_STARTING);
  runtime_->OnMessage(Epoch(0), ReadyMessage(), now_, &actions_);
  EXPECT_EQ(Described().state(), v1::Deployment::STATE_READY);
  EXPECT_EQ(Described().ready_replicas(), 1);
}

TEST_F(DeploymentRuntimeTest, RefusesRequestsBeforeItWasEverReady) {
  const absl::Status refused = Submit(1);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(service::ReasonOf(refused), v1::ERROR_REASON_NOT_READY);
  EXPECT_TRUE(service::RetryAfterOf(refused).has_value());
}

TEST_F(DeploymentRuntimeTest, AReplicaGetsOneRequestAtATime) {
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1), IsOk());
  ASSERT_THAT(Submit(2), IsOk());
  EXPECT_THAT(TaskIds(), ElementsAre(1));
  runtime_->OnMessage(Epoch(0), AnswerMessage(1), now_, &actions_);
  EXPECT_THAT(TaskIds(), ElementsAre(2));
  EXPECT_THAT(ResultOf(1), IsOk());
}

TEST_F(DeploymentRuntimeTest, AnswersSayHowLongTheyWaited) {
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1), IsOk());
  ASSERT_THAT(Submit(2), IsOk());
  Advance(absl::Seconds(3));
  runtime_->OnMessage(Epoch(0), AnswerMessage(1), now_, &actions_);
  runtime_->OnMessage(Epoch(0), AnswerMessage(2), now_, &actions_);
  const auto& statistics = actions_.answers.at(1).result->statistics();
  EXPECT_EQ(statistics.queue_time().seconds(), 3);
  EXPECT_EQ(statistics.model(), "projects/default/models/m");
  EXPECT_EQ(statistics.network_calls(), 2);
}

TEST_F(DeploymentRuntimeTest, SeveralReplicasShareTheRequests) {
  Make(2);
  MakeReady(Epoch(0));
  MakeReady(Epoch(1));
  ASSERT_THAT(Submit(1), IsOk());
  ASSERT_THAT(Submit(2), IsOk());
  ASSERT_THAT(Submit(3), IsOk());
  EXPECT_THAT(TaskIds(), ElementsAre(1, 2));
  runtime_->OnMessage(Epoch(1), AnswerMessage(2), now_, &actions_);
  EXPECT_THAT(TaskIds(), ElementsAre(3));
}

TEST_F(DeploymentRuntimeTest, ARequestInFlightSurvivesACrash) {
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1), IsOk());
  runtime_->OnDetached(Epoch(0), now_, &actions_);
  runtime_->OnExited(Epoch(0), "killed by signal 9", now_, &actions_);
  EXPECT_EQ(actions_.starts.size(), 1u);
  EXPECT_EQ(Described().state(), v1::Deployment::STATE_STARTING);
  EXPECT_THAT(Described().state_reason(), HasSubstr("signal 9"));
  Advance(options_.first_backoff);
  ASSERT_EQ(actions_.starts.size(), 2u);
  EXPECT_GT(Epoch(1), Epoch(0));
  Sent();
  MakeReady(Epoch(1));
  EXPECT_THAT(TaskIds(), ElementsAre(1));
  runtime_->OnMessage(Epoch(1), AnswerMessage(1), now_, &actions_);
  EXPECT_THAT(ResultOf(1), IsOk());
}

TEST_F(DeploymentRuntimeTest, AnotherReplicaTakesOverAtOnce) {
  Make(2);
  MakeReady(Epoch(0));
  MakeReady(Epoch(1));
  ASSERT_THAT(Submit(1), IsOk());
  Sent();
  runtime_->OnExited(Epoch(0), "exit code 3", now_, &actions_);
  EXPECT_THAT(TaskIds(), ElementsAre(1));
  EXPECT_EQ(Described().state(), v1::Deployment::STATE_READY);
  EXPECT_THAT(Described().state_reason(), HasSubstr("exit code 3"));
}

TEST_F(DeploymentRuntimeTest, RequestsComeInWhileAReplicaRestarts) {
  MakeReady(Epoch(0));
  runtime_->OnExited(Epoch(0), "exit code 3", now_, &actions_);
  EXPECT_THAT(Submit(1), IsOk());
  Advance(options_.first_backoff);
  MakeReady(Epoch(1));
  EXPECT_THAT(TaskIds(), ElementsAre(1));
}

TEST_F(DeploymentRuntimeTest, ACrashAnswersWhatCannotWaitForTheRestart) {
  options_.first_backoff = absl::Seconds(10);
  Make(1);
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1, now_ + absl::Seconds(5)), IsOk());
  ASSERT_THAT(Submit(2, now_ + absl::Seconds(50)), IsOk());
  runtime_->OnExited(Epoch(0), "exit code 3", now_, &actions_);
  EXPECT_THAT(ResultOf(1), StatusIs(absl::StatusCode::kUnavailable,
                                    HasSubstr("exit code 3")));
  EXPECT_EQ(ResultOf(2).message(), "no answer yet");
  EXPECT_THAT(Submit(3, now_ + absl::Seconds(5)),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(DeploymentRuntimeTest, ARequestThatCrashesEveryReplicaIsGivenUp) {
  options_.max_attempts = 2;
  Make(1);
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1), IsOk());
  runtime_->OnExited(Epoch(0), "signal 11", now_, &actions_);
  Advance(absl::Seconds(1));
  MakeReady(Epoch(1));
  runtime_->OnExited(Epoch(1), "signal 11", now_, &actions_);
  EXPECT_THAT(ResultOf(1), StatusIs(absl::StatusCode::kUnavailable,
                                    HasSubstr("2 replicas failed")));
}

TEST_F(DeploymentRuntimeTest, FailsWithTheCauseAfterTooManyCrashes) {
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1), IsOk());
  for (size_t i = 0; i < 3; ++i) {
    internal::v1::AttachRequest ended;
    ended.mutable_ended()->set_reason("no such tensor");
    runtime_->OnMessage(Epoch(i), std::move(ended), now_, &actions_);
    runtime_->OnExited(Epoch(i), "exit code 1", now_, &actions_);
    Advance(absl::Minutes(1));
  }
  EXPECT_EQ(actions_.starts.size(), 3u);
  EXPECT_EQ(Described().state(), v1::Deployment::STATE_FAILED);
  EXPECT_EQ(Described().state_reason(), "no such tensor (exit code 1)");
  EXPECT_THAT(ResultOf(1), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Submit(2), StatusIs(absl::StatusCode::kUnavailable,
                                  HasSubstr("no such tensor")));
  EXPECT_EQ(runtime_->NextDue(), absl::InfiniteFuture());
}

TEST_F(DeploymentRuntimeTest, CrashesOfAHealthyReplicaAreNotInARow) {
  for (size_t i = 0; i < 6; ++i) {
    MakeReady(Epoch(i));
    Advance(options_.healthy_after);
    runtime_->OnExited(Epoch(i), "exit code 1", now_, &actions_);
    Advance(options_.first_backoff);
  }
  EXPECT_EQ(actions_.starts.size(), 7u);
}

TEST_F(DeploymentRuntimeTest, ABrokenStreamMovesTheRequestToTheNextStream) {
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1), IsOk());
  runtime_->OnDetached(Epoch(0), now_, &actions_);
  EXPECT_EQ(runtime_->ready_replicas(), 0);
  Sent();
  MakeReady(Epoch(0));
  EXPECT_THAT(TaskIds(), ElementsAre(1));
  EXPECT_EQ(actions_.starts.size(), 1u);
}

TEST_F(DeploymentRuntimeTest, TheEndOfAnOldStreamIsNotTheEndOfTheNewOne) {
  MakeReady(Epoch(0));
  MakeReady(Epoch(0));
  runtime_->OnDetached(Epoch(0), now_, &actions_);
  EXPECT_EQ(runtime_->ready_replicas(), 1);
}

TEST_F(DeploymentRuntimeTest, KillsAReplicaThatDoesNotComeBack) {
  MakeReady(Epoch(0));
  runtime_->OnDetached(Epoch(0), now_, &actions_);
  EXPECT_EQ(runtime_->NextDue(), now_ + options_.reattach_grace);
  Advance(options_.reattach_grace);
  EXPECT_THAT(actions_.kills, ElementsAre(Epoch(0)));
  Advance(options_.reattach_grace);
  EXPECT_EQ(actions_.kills.size(), 1u);
  runtime_->OnExited(Epoch(0), "killed", now_, &actions_);
  EXPECT_THAT(Described().state_reason(), HasSubstr("did not come back"));
}

TEST_F(DeploymentRuntimeTest, KillsAReplicaThatIsNotReadyInTime) {
  Attach(Epoch(0));
  Advance(options_.ready_timeout);
  EXPECT_THAT(actions_.kills, ElementsAre(Epoch(0)));
}

TEST_F(DeploymentRuntimeTest, StaleReplicasAreToldToStop) {
  Attach(Epoch(0) - 1);
  const auto sent = Sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].control().action(), internal::v1::Control::ACTION_FENCED);
}

TEST_F(DeploymentRuntimeTest, CancellationReachesTheReplica) {
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1), IsOk());
  ASSERT_THAT(Submit(2), IsOk());
  runtime_->Cancel(1, now_, &actions_);
  EXPECT_THAT(TaskIds(), ElementsAre(1, -1, 2));
  EXPECT_THAT(ResultOf(1), StatusIs(absl::StatusCode::kCancelled));
  // The replica answers what it was not to do any more.
  runtime_->OnMessage(
      Epoch(0),
      testing::ErrorMessage(1, absl::StatusCode::kCancelled, "cancelled"), now_,
      &actions_);
  EXPECT_EQ(actions_.answers.size(), 1u);
  runtime_->Cancel(1, now_, &actions_);
  EXPECT_EQ(actions_.answers.size(), 1u);
}

TEST_F(DeploymentRuntimeTest, AReplicaThatIsBeingStoppedGetsNoMoreRequests) {
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1), IsOk());
  Sent();
  runtime_->OnMessage(
      Epoch(0),
      testing::ErrorMessage(1, absl::StatusCode::kUnavailable, "stopping"),
      now_, &actions_);
  EXPECT_THAT(TaskIds(), IsEmpty());
  runtime_->OnExited(Epoch(0), "exit code 0", now_, &actions_);
  Advance(options_.first_backoff);
  MakeReady(Epoch(1));
  EXPECT_THAT(TaskIds(), ElementsAre(1));
}

TEST_F(DeploymentRuntimeTest, DeadlinesEndRequestsThatWaitOrRun) {
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1, now_ + absl::Seconds(4)), IsOk());
  ASSERT_THAT(Submit(2, now_ + absl::Seconds(5)), IsOk());
  EXPECT_EQ(Sent().back().sample().timeout_ms(), 4000);
  EXPECT_EQ(runtime_->NextDue(), now_ + absl::Seconds(4));
  Advance(absl::Seconds(5));
  EXPECT_THAT(ResultOf(1), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(ResultOf(2), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(TaskIds(), ElementsAre(-1));
}

TEST_F(DeploymentRuntimeTest, ErrorsOfTheReplicaReachTheCaller) {
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1), IsOk());
  runtime_->OnMessage(
      Epoch(0),
      testing::ErrorMessage(1, absl::StatusCode::kInvalidArgument,
                            "times[0] is too large"),
      now_, &actions_);
  EXPECT_THAT(ResultOf(1), StatusIs(absl::StatusCode::kInvalidArgument,
                                    "times[0] is too large"));
  EXPECT_EQ(service::ReasonOf(ResultOf(1)), v1::ERROR_REASON_INVALID_ARGUMENT);
  ASSERT_THAT(Submit(2), IsOk());
  runtime_->OnMessage(
      Epoch(0), testing::ErrorMessage(2, absl::StatusCode::kInternal, "broken"),
      now_, &actions_);
  EXPECT_EQ(service::ReasonOf(ResultOf(2)), v1::ERROR_REASON_WORKER_FAILED);
}

TEST_F(DeploymentRuntimeTest, AnAnswerOfTheWrongSizeIsAnError) {
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1), IsOk());
  runtime_->OnMessage(Epoch(0), AnswerMessage(1, 3), now_, &actions_);
  EXPECT_THAT(ResultOf(1), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(DeploymentRuntimeTest, ADeletionWaitsForTheRequestsInFlight) {
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1), IsOk());
  runtime_->Delete(now_, &actions_);
  EXPECT_FALSE(actions_.finished);
  EXPECT_EQ(Described().state(), v1::Deployment::STATE_DELETING);
  EXPECT_THAT(Submit(2), StatusIs(absl::StatusCode::kFailedPrecondition));
  runtime_->OnMessage(Epoch(0), AnswerMessage(1), now_, &actions_);
  EXPECT_THAT(ResultOf(1), IsOk());
  EXPECT_TRUE(actions_.finished);
  EXPECT_THAT(actions_.terminates, ElementsAre(Epoch(0)));
  EXPECT_EQ(Sent().back().control().action(),
            internal::v1::Control::ACTION_DRAIN);
}

TEST_F(DeploymentRuntimeTest, StopAnswersEverythingAndEndsTheReplicas) {
  MakeReady(Epoch(0));
  ASSERT_THAT(Submit(1), IsOk());
  ASSERT_THAT(Submit(2), IsOk());
  runtime_->Stop(absl::UnavailableError("bye"), now_, &actions_);
  EXPECT_THAT(ResultOf(1), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(ResultOf(2), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(actions_.terminates, ElementsAre(Epoch(0)));
  runtime_->OnExited(Epoch(0), "exit code 0", now_, &actions_);
  Advance(absl::Minutes(1));
  EXPECT_EQ(actions_.starts.size(), 1u);
}

TEST_F(DeploymentRuntimeTest, PausesBetweenRestartsDoubleUpToALimit) {
  ReplicaOptions options;
  EXPECT_EQ(Backoff(options, 1), options.first_backoff);
  EXPECT_EQ(Backoff(options, 3), 4 * options.first_backoff);
  EXPECT_EQ(Backoff(options, 1000), options.max_backoff);
}

}  // namespace
}  // namespace retort::batching
