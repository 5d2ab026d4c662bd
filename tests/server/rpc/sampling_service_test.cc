#include "server/rpc/sampling_service.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "server/base/error.h"
#include "tests/server/rpc/service_fixture.h"
#include "tests/support/fake_worker_session.h"
#include "tests/support/status_matchers.h"
#include "tests/support/worker_messages.h"

namespace retort::rpc {
namespace {

using testing::IsOk;
using testing::StatusIs;

constexpr char kName[] = "projects/default/deployments/d";

class SamplingServiceTest : public ServiceFixture {
 protected:
  SamplingServiceTest() : service_(manager_.get(), &metrics_) {
    AddModel("m", "ctm");
    stub_ = v1::SamplingService::NewStub(Serve(&service_));
  }
  ~SamplingServiceTest() override { Shutdown(); }

  // Makes the deployment with a replica that is ready.
  void Deploy(const std::string& model = "m") {
    v1::CreateDeploymentRequest request;
    request.set_parent("projects/default");
    request.set_deployment_id("d");
    request.mutable_deployment()->add_models()->set_model(
        "projects/default/models/" + model);
    ASSERT_THAT(manager_->Create(request), IsOk());
    epoch_ = executor_.started().back().epoch;
    manager_->OnAttached(kName, epoch_, internal::v1::Hello(), session_);
    manager_->OnMessage(kName, epoch_, 0, testing::ReadyMessage());
  }

  absl::Status Sample(grpc::ClientContext* context) {
    v1::SampleRequest request;
    request.set_deployment(kName);
    request.set_samples(1);
    return FromGrpc(stub_->Sample(context, request, &response_));
  }

  // The answer to a request with this solver that is refused.
  absl::Status RefusalOf(v1::Solver solver) {
    grpc::ClientContext context;
    v1::SampleRequest request;
    request.set_deployment(kName);
    request.set_solver(solver);
    return FromGrpc(stub_->Sample(&context, request, &response_));
  }

  // Waits for the replica to be given `count` messages about samples.
  void AwaitTasks(size_t count) {
    while (session_->tasks().size() < count) std::this_thread::yield();
  }

  int64_t epoch_ = 0;
  std::shared_ptr<testing::FakeWorkerSession> session_ =
      std::make_shared<testing::FakeWorkerSession>();
  v1::SampleResponse response_;
  SamplingService service_;
  std::unique_ptr<v1::SamplingService::Stub> stub_;
};

TEST_F(SamplingServiceTest, AnswersWithWhatTheReplicaMade) {
  Deploy();
  grpc::ClientContext context;
  auto status =
      std::async(std::launch::async, [&] { return Sample(&context); });
  AwaitTasks(1);
  manager_->OnMessage(kName, epoch_, 0,
                      testing::AnswerMessage(session_->tasks()[0].id()));
  EXPECT_THAT(status.get(), IsOk());
  ASSERT_EQ(response_.images_size(), 1);
  EXPECT_EQ(response_.images(0), "x");
}

TEST_F(SamplingServiceTest, ErrorsCarryTheirReason) {
  grpc::ClientContext unknown;
  EXPECT_THAT(Sample(&unknown), StatusIs(absl::StatusCode::kNotFound));
  Deploy();
  grpc::ClientContext context;
  v1::SampleRequest request;
  request.set_deployment(kName);
  request.set_gamma(7);
  const absl::Status status =
      FromGrpc(stub_->Sample(&context, request, &response_));
  ASSERT_EQ(service::FieldViolationsOf(status).size(), 1u);
  EXPECT_EQ(service::FieldViolationsOf(status)[0].field, "gamma");
}

TEST_F(SamplingServiceTest, StudentsTakeNoSolver) {
  Deploy();
  for (const auto solver : {v1::SOLVER_HEUN, v1::SOLVER_EULER}) {
    const absl::Status status = RefusalOf(solver);
    EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_INVALID_ARGUMENT);
    ASSERT_EQ(service::FieldViolationsOf(status).size(), 1u);
    EXPECT_EQ(service::FieldViolationsOf(status)[0].field, "solver");
  }
}

TEST_F(SamplingServiceTest, TeachersAreSampledWithHeun) {
  AddModel("teacher", "teacher");
  Deploy("teacher");
  grpc::ClientContext context;
  auto status =
      std::async(std::launch::async, [&] { return Sample(&context); });
  AwaitTasks(1);
  EXPECT_EQ(session_->tasks()[0].request().solver(), v1::SOLVER_HEUN);
  manager_->OnMessage(kName, epoch_, 0,
                      testing::AnswerMessage(session_->tasks()[0].id()));
  EXPECT_THAT(status.get(), IsOk());
}

TEST_F(SamplingServiceTest, EulersSolverIsNotImplementedYet) {
  AddModel("teacher", "teacher");
  Deploy("teacher");
  const absl::Status status = RefusalOf(v1::SOLVER_EULER);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_NOT_IMPLEMENTED);
  EXPECT_THAT(RefusalOf(static_cast<v1::Solver>(17)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SamplingServiceTest, ACancelledCallIsCancelledInTheReplica) {
  Deploy();
  grpc::ClientContext context;
  auto status =
      std::async(std::launch::async, [&] { return Sample(&context); });
  AwaitTasks(1);
  context.TryCancel();
  EXPECT_THAT(status.get(), StatusIs(absl::StatusCode::kCancelled));
  AwaitTasks(2);
  EXPECT_TRUE(session_->tasks()[1].cancel());
}

TEST_F(SamplingServiceTest, ADeadlineTravelsToTheReplica) {
  Deploy();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::hours(1));
  auto status =
      std::async(std::launch::async, [&] { return Sample(&context); });
  AwaitTasks(1);
  EXPECT_GT(session_->tasks()[0].timeout_ms(), 0);
  context.TryCancel();
  status.wait();
}

TEST_F(SamplingServiceTest, StreamsAreNotImplementedYet) {
  grpc::ClientContext context;
  v1::StreamSampleRequest request;
  auto reader = stub_->StreamSample(&context, request);
  v1::StreamSampleResponse response;
  EXPECT_FALSE(reader->Read(&response));
  const absl::Status status = FromGrpc(reader->Finish());
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_NOT_IMPLEMENTED);
}

}  // namespace
}  // namespace retort::rpc
