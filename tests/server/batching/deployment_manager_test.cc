#include "server/batching/deployment_manager.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/synchronization/notification.h"
#include "server/base/error.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_executor.h"
#include "tests/support/fake_weights_tool.h"
#include "tests/support/fake_worker_session.h"
#include "tests/support/model_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/worker_messages.h"

namespace retort::batching {
namespace {

using ::testing::ElementsAre;
using testing::FakeWorkerSession;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

constexpr char kModel[] = "projects/default/models/m";
constexpr char kName[] = "projects/default/deployments/d";

class DeploymentManagerTest : public ::testing::Test {
 protected:
  DeploymentManagerTest() {
    db_ = *db::Database::Open(data_dir_.db_path());
    models_ = *registry::ModelStore::Open(db_.get(), data_dir_, &clock_,
                                          &metrics_, &tool_);
    AddModel(kModel, "ctm");
    options_.timer_thread = false;
    options_.replica.max_restarts = 1;
    Restart();
  }

  void AddModel(const std::string& name, const std::string& kind) {
    testing::WriteModelFolder(dir_ / "result", kind);
    RETORT_CHECK_OK(models_->Adopt(name, "", dir_ / "result").status());
  }

  // A new server over the same data.
  void Restart() {
    manager_.reset();
    store_ = *registry::DeploymentStore::Open(db_.get(), &clock_);
    manager_ = std::make_unique<DeploymentManager>(
        DeploymentManagerDeps{data_dir_, &clock_, store_.get(), models_.get(),
                              &executor_, &metrics_},
        options_);
    RETORT_CHECK_OK(manager_->Load());
    RETORT_CHECK_OK(manager_->Start());
  }

  static v1::CreateDeploymentRequest Request() {
    v1::CreateDeploymentRequest request;
    request.set_parent("projects/default");
    request.set_deployment_id("d");
    request.mutable_deployment()->add_models()->set_model(kModel);
    return request;
  }

  // Attaches the newest process and makes it ready.
  std::shared_ptr<FakeWorkerSession> MakeReady() {
    auto session = std::make_shared<FakeWorkerSession>();
    manager_->OnAttached(kName, Epoch(), internal::v1::Hello(), session);
    manager_->OnMessage(kName, Epoch(), 0, testing::ReadyMessage());
    return session;
  }
  int64_t Epoch() { return executor_.started().back().epoch; }

  int64_t Submit(int samples = 1) {
    v1::SampleRequest request;
    request.set_deployment(kName);
    request.set_samples(samples);
    return manager_->Submit(request, absl::InfiniteFuture(),
                            [this](absl::StatusOr<v1::SampleResponse> result) {
                              ++answers_;
                              result_ = std::move(result);
                            });
  }

  testing::TempDir dir_;
  testing::FakeClock clock_;
  metrics::ServiceMetrics metrics_;
  testing::FakeWeightsTool tool_;
  testing::FakeExecutor executor_;
  base::DataDir data_dir_{dir_.path()};
  DeploymentManagerOptions options_;
  std::unique_ptr<db::Database> db_;
  std::unique_ptr<registry::ModelStore> models_;
  std::unique_ptr<registry::DeploymentStore> store_;
  int answers_ = 0;
  absl::StatusOr<v1::SampleResponse> result_ = absl::UnknownError("none yet");
  std::unique_ptr<DeploymentManager> manager_;
};

TEST_F(DeploymentManagerTest, StartsAReplicaForANewDeployment) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Deployment made,
                              manager_->Create(Request()));
  EXPECT_EQ(made.name(), kName);
  EXPECT_EQ(made.replicas(), 1);
  EXPECT_EQ(made.state(), v1::Deployment::STATE_STARTING);
  ASSERT_EQ(executor_.started().size(), 1u);
  const executor::GangSpec spec = executor_.started()[0];
  EXPECT_EQ(spec.subject, kName);
  EXPECT_EQ(spec.role, "replica");
  EXPECT_FALSE(spec.token.empty());
  EXPECT_TRUE(base::IsDirectory(data_dir_.deployment_dir("d")));
  MakeReady();
  EXPECT_EQ(manager_->Get(kName)->state(), v1::Deployment::STATE_READY);
  EXPECT_EQ(manager_->ReadyDeployments(), 1);
}

TEST_F(DeploymentManagerTest, ReplicasGetAllSlotsUnlessToldOtherwise) {
  options_.cpu_slots = 6;
  Restart();
  RETORT_ASSERT_OK_AND_ASSIGN(v1::Deployment made, manager_->Create(Request()));
  EXPECT_EQ(made.cpu_threads(), 6);
  EXPECT_EQ(executor_.started().back().threads, 6);
  const auto session = MakeReady();
  EXPECT_EQ(session->sent()[0].assignment().threads(), 6);
  v1::CreateDeploymentRequest two = Request();
  two.set_deployment_id("two");
  two.mutable_deployment()->set_cpu_threads(2);
  EXPECT_EQ(manager_->Create(two)->cpu_threads(), 2);
}

TEST_F(DeploymentManagerTest, StoredDeploymentsAreKnownBeforeTheyStart) {
  ASSERT_THAT(manager_->Create(Request()), IsOk());
  manager_ = std::make_unique<DeploymentManager>(
      DeploymentManagerDeps{data_dir_, &clock_, store_.get(), models_.get(),
                            &executor_, &metrics_},
      options_);
  ASSERT_THAT(manager_->Load(), IsOk());
  EXPECT_EQ(executor_.started().size(), 1u);
  Submit();
  EXPECT_THAT(result_, StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_THAT(manager_->Start(), IsOk());
  EXPECT_EQ(executor_.started().size(), 2u);
}

TEST_F(DeploymentManagerTest, SaysWhatIsWrongWithARequest) {
  const auto refused = [&](auto change) {
    v1::CreateDeploymentRequest request = Request();
    change(&request);
    const auto made = manager_->Create(request);
    const auto violations = service::FieldViolationsOf(made.status());
    return violations.empty() ? made.status().ToString() : violations[0].field;
  };
  EXPECT_EQ(refused([](auto* r) { r->set_parent("x"); }), "parent");
  EXPECT_EQ(refused([](auto* r) { r->set_deployment_id("No!"); }),
            "deployment_id");
  EXPECT_EQ(refused([](auto* r) { r->mutable_deployment()->clear_models(); }),
            "deployment.models");
  EXPECT_EQ(
      refused([](auto* r) { r->mutable_deployment()->set_replicas(1000); }),
      "deployment.replicas");
  EXPECT_EQ(
      refused([](auto* r) { r->mutable_deployment()->set_cpu_threads(-1); }),
      "deployment.cpu_threads");
  EXPECT_THAT(refused([](auto* r) { r->mutable_deployment()->add_models(); }),
              HasSubstr("UNIMPLEMENTED"));
  EXPECT_THAT(refused([](auto* r) {
                r->mutable_deployment()->mutable_models(0)->set_model(
                    "projects/default/models/none");
              }),
              HasSubstr("NOT_FOUND"));
  EXPECT_THAT(executor_.started(), IsEmpty());
}

TEST_F(DeploymentManagerTest, RefusesModelsThatMakeNoImages) {
  AddModel("projects/default/models/p", "preconditioning");
  v1::CreateDeploymentRequest request = Request();
  request.mutable_deployment()->mutable_models(0)->set_model(
      "projects/default/models/p");
  EXPECT_THAT(manager_->Create(request),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("makes no images")));
}

TEST_F(DeploymentManagerTest, ValidateOnlyMakesNothing) {
  v1::CreateDeploymentRequest request = Request();
  request.set_validate_only(true);
  EXPECT_THAT(manager_->Create(request), IsOk());
  EXPECT_THAT(manager_->Get(kName), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(executor_.started(), IsEmpty());
}

TEST_F(DeploymentManagerTest, ARepeatedRequestStartsNoSecondReplica) {
  v1::CreateDeploymentRequest request = Request();
  request.clear_deployment_id();
  request.set_request_id("r");
  RETORT_ASSERT_OK_AND_ASSIGN(const auto first, manager_->Create(request));
  RETORT_ASSERT_OK_AND_ASSIGN(const auto second, manager_->Create(request));
  EXPECT_EQ(first.name(), second.name());
  EXPECT_EQ(executor_.started().size(), 1u);
}

TEST_F(DeploymentManagerTest, DeploymentsRunAgainAfterARestart) {
  ASSERT_THAT(manager_->Create(Request()), IsOk());
  const int64_t before = Epoch();
  clock_.Advance(absl::Seconds(1));
  Restart();
  ASSERT_EQ(executor_.started().size(), 2u);
  EXPECT_GT(Epoch(), before);
  EXPECT_EQ(manager_->Get(kName)->state(), v1::Deployment::STATE_STARTING);
}

TEST_F(DeploymentManagerTest, ADeploymentWhoseModelIsGoneHasFailed) {
  ASSERT_THAT(manager_->Create(Request()), IsOk());
  ASSERT_THAT(base::RemoveTree(data_dir_.model_dir("m")), IsOk());
  Restart();
  EXPECT_EQ(executor_.started().size(), 1u);
  RETORT_ASSERT_OK_AND_ASSIGN(const auto found, manager_->Get(kName));
  EXPECT_EQ(found.state(), v1::Deployment::STATE_FAILED);
  EXPECT_THAT(found.state_reason(), HasSubstr("are gone"));
}

TEST_F(DeploymentManagerTest, ARequestFindsItsReplicaAndItsWayBack) {
  ASSERT_THAT(manager_->Create(Request()), IsOk());
  auto session = MakeReady();
  const int64_t id = Submit(2);
  ASSERT_NE(id, 0);
  const auto tasks = session->tasks();
  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_EQ(tasks[0].id(), id);
  EXPECT_THAT(tasks[0].request().classes(), ElementsAre(0, 1));
  manager_->OnMessage(kName, Epoch(), 0, testing::AnswerMessage(id, 2));
  ASSERT_THAT(result_, IsOk());
  EXPECT_EQ(result_->images_size(), 2);
  EXPECT_EQ(result_->statistics().model(), kModel);
}

TEST_F(DeploymentManagerTest, RefusedRequestsAreAnsweredAtOnce) {
  EXPECT_EQ(Submit(), 0);
  EXPECT_THAT(result_, StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(manager_->Create(Request()), IsOk());
  EXPECT_EQ(Submit(), 0);
  EXPECT_THAT(result_, StatusIs(absl::StatusCode::kUnavailable));
  MakeReady();
  EXPECT_EQ(Submit(-5), 0);
  EXPECT_THAT(result_, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(answers_, 3);
}

TEST_F(DeploymentManagerTest, ACrashedReplicaIsStartedAgainWithItsRequest) {
  ASSERT_THAT(manager_->Create(Request()), IsOk());
  MakeReady();
  const int64_t id = Submit();
  manager_->OnDetached(kName, Epoch(), 0);
  manager_->OnExited(kName, Epoch(), {true, 0, 9});
  clock_.Advance(absl::Seconds(1));
  manager_->Tick();
  ASSERT_EQ(executor_.started().size(), 2u);
  auto session = MakeReady();
  ASSERT_EQ(session->tasks().size(), 1u);
  manager_->OnMessage(kName, Epoch(), 0, testing::AnswerMessage(id));
  EXPECT_THAT(result_, IsOk());
  EXPECT_EQ(answers_, 1);
}

TEST_F(DeploymentManagerTest, AReplicaThatCannotBeStartedIsTriedAgain) {
  executor_.SetStartError(absl::UnavailableError("no retort-worker there"));
  ASSERT_THAT(manager_->Create(Request()), IsOk());
  EXPECT_THAT(manager_->Get(kName)->state_reason(),
              HasSubstr("no retort-worker there"));
  clock_.Advance(absl::Seconds(1));
  manager_->Tick();
  RETORT_ASSERT_OK_AND_ASSIGN(const auto found, manager_->Get(kName));
  EXPECT_EQ(found.state(), v1::Deployment::STATE_FAILED);
  EXPECT_THAT(found.state_reason(), HasSubstr("no retort-worker there"));
}

TEST_F(DeploymentManagerTest, CancelAnswersOnceAndTellsTheReplica) {
  ASSERT_THAT(manager_->Create(Request()), IsOk());
  auto session = MakeReady();
  const int64_t id = Submit();
  manager_->Cancel(kName, id);
  EXPECT_THAT(result_, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(session->tasks().back().cancel());
  manager_->OnMessage(kName, Epoch(), 0, testing::AnswerMessage(id));
  manager_->Cancel(kName, id);
  EXPECT_EQ(answers_, 1);
}

TEST_F(DeploymentManagerTest, AnIdleDeploymentIsGoneWhenDeleteReturns) {
  ASSERT_THAT(manager_->Create(Request()), IsOk());
  MakeReady();
  EXPECT_THAT(manager_->Delete(kName, "stale"),
              StatusIs(absl::StatusCode::kAborted));
  ASSERT_THAT(manager_->Delete(kName, ""), IsOk());
  EXPECT_THAT(manager_->Get(kName), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(executor_.terminated(),
              ElementsAre(std::pair<std::string, int64_t>(kName, Epoch())));
  EXPECT_FALSE(base::IsDirectory(data_dir_.deployment_dir("d")));
  // A replica that does not listen is killed.
  clock_.Advance(options_.end_grace);
  manager_->Tick();
  EXPECT_EQ(executor_.killed().size(), 1u);
  EXPECT_THAT(manager_->Create(Request()), IsOk());
}

TEST_F(DeploymentManagerTest, ABusyDeploymentIsGoneAfterItsLastAnswer) {
  ASSERT_THAT(manager_->Create(Request()), IsOk());
  MakeReady();
  const int64_t id = Submit();
  ASSERT_THAT(manager_->Delete(kName, ""), IsOk());
  EXPECT_EQ(manager_->Get(kName)->state(), v1::Deployment::STATE_DELETING);
  manager_->OnMessage(kName, Epoch(), 0, testing::AnswerMessage(id));
  EXPECT_THAT(result_, IsOk());
  EXPECT_THAT(manager_->Get(kName), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(DeploymentManagerTest, StopAnswersWhatIsInFlightAndKeepsTheDeployment) {
  ASSERT_THAT(manager_->Create(Request()), IsOk());
  MakeReady();
  Submit();
  manager_->Stop(absl::ZeroDuration());
  EXPECT_THAT(result_,
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("stopping")));
  EXPECT_EQ(executor_.terminated().size(), 1u);
  Submit();
  EXPECT_THAT(result_, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(store_->Get(kName), IsOk());
}

TEST_F(DeploymentManagerTest, TheTimerRestartsReplicasByItself) {
  // On the real clock, with a pause too short to notice.
  options_.timer_thread = true;
  options_.replica.first_backoff = absl::Milliseconds(1);
  options_.replica.max_restarts = 1000;
  DeploymentManager manager({data_dir_, base::RealClock(), store_.get(),
                             models_.get(), &executor_, &metrics_},
                            options_);
  ASSERT_THAT(manager.Start(), IsOk());
  ASSERT_THAT(manager.Create(Request()), IsOk());
  manager.OnExited(kName, Epoch(), {true, 1, 0});
  const absl::Time limit = absl::Now() + absl::Seconds(30);
  while (executor_.started().size() < 2 && absl::Now() < limit) {
    std::this_thread::yield();
  }
  EXPECT_GE(executor_.started().size(), 2u);
  manager.Stop(absl::ZeroDuration());
}

TEST_F(DeploymentManagerTest, WorkersOfUnknownDeploymentsAreSentAway) {
  auto session = std::make_shared<FakeWorkerSession>();
  manager_->OnAttached("projects/default/deployments/none", 1,
                       internal::v1::Hello(), session);
  ASSERT_TRUE(session->closed().has_value());
  EXPECT_THAT(*session->closed(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace retort::batching
