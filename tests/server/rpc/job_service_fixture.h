#ifndef RETORT_TESTS_SERVER_RPC_JOB_SERVICE_FIXTURE_H_
#define RETORT_TESTS_SERVER_RPC_JOB_SERVICE_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "server/rpc/job_service.h"
#include "server/rpc/status.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_executor.h"
#include "tests/support/fake_models.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::rpc {

// The service over real parts but for the workers, called through gRPC within
// the process.
class JobServiceFixture : public ::testing::Test {
 protected:
  JobServiceFixture() {
    db_ = *db::Database::Open(data_dir_.db_path());
    store_ = *jobs::JobStore::Create(db_.get(), &clock_, data_dir_);
    cluster_store_ = *scheduler::ClusterStore::Create(db_.get());
    scheduler_ = std::make_unique<scheduler::Scheduler>(
        scheduler::SchedulerOptions(), &clock_, store_.get(), &models_,
        &executor_, cluster_store_.get(), &metrics_);
    service_ = std::make_unique<JobService>(
        store_.get(), scheduler_.get(), &resolver_, &metrics_,
        [this](const v1::JobSpec& spec, bool measure,
               const std::function<bool()>& stop) {
          return estimator_(spec, measure, stop);
        });
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = v1::JobService::NewStub(
        server_->InProcessChannel(grpc::ChannelArguments()));
  }
  ~JobServiceFixture() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }

  static v1::CreateJobRequest Request(const std::string& id) {
    v1::CreateJobRequest request;
    request.set_parent("projects/default");
    request.set_job_id(id);
    request.mutable_job()
        ->mutable_spec()
        ->mutable_train_teacher()
        ->mutable_training()
        ->set_iterations(10);
    return request;
  }
  absl::StatusOr<v1::Job> Create(const v1::CreateJobRequest& request) {
    grpc::ClientContext context;
    v1::Job job;
    const absl::Status status =
        FromGrpc(stub_->CreateJob(&context, request, &job));
    if (!status.ok()) return status;
    return job;
  }
  absl::StatusOr<v1::Job> Pause(const std::string& name) {
    grpc::ClientContext context;
    v1::PauseJobRequest request;
    request.set_name(name);
    v1::Job job;
    const absl::Status status =
        FromGrpc(stub_->PauseJob(&context, request, &job));
    if (!status.ok()) return status;
    return job;
  }
  absl::StatusOr<v1::Job> Resume(const std::string& name) {
    grpc::ClientContext context;
    v1::ResumeJobRequest request;
    request.set_name(name);
    v1::Job job;
    const absl::Status status =
        FromGrpc(stub_->ResumeJob(&context, request, &job));
    if (!status.ok()) return status;
    return job;
  }
  // A student whose other settings follow from its grid.
  v1::Job CreateStudent(const std::string& id) {
    models_.Add("projects/default/models/t", v1::Model::KIND_TEACHER);
    v1::CreateJobRequest request = Request(id);
    auto* task = request.mutable_job()->mutable_spec()->mutable_distill();
    task->set_teacher("projects/default/models/t");
    task->set_grid_size(10);
    task->mutable_training()->set_iterations(10);
    (*request.mutable_job()->mutable_labels())["team"] = "vision";
    const auto job = Create(request);
    EXPECT_THAT(job, retort::testing::IsOk());
    return job.value_or(v1::Job());
  }
  absl::Status MoveTo(const std::string& name, jobs::State state) {
    return store_
        ->Update(name,
                 [&](jobs::JobRecord& record, auto*) {
                   record.job.set_state(state);
                   return absl::OkStatus();
                 })
        .status();
  }

  JobEstimator estimator_ = [](const v1::JobSpec&, bool,
                               const std::function<bool()>&) {
    return v1::JobEstimate();
  };
  retort::testing::TempDir dir_;
  const base::DataDir data_dir_{dir_.path()};
  retort::testing::FakeClock clock_;
  metrics::ServiceMetrics metrics_;
  executor::WorkerLinks links_;
  retort::testing::FakeExecutor executor_{&links_};
  retort::testing::FakeModels models_;
  const jobs::SpecResolver resolver_{{.cpu_slots = 2}, &models_};
  std::unique_ptr<db::Database> db_;
  std::unique_ptr<jobs::JobStore> store_;
  std::unique_ptr<scheduler::ClusterStore> cluster_store_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
  std::unique_ptr<JobService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::JobService::Stub> stub_;
};

}  // namespace retort::rpc

#endif  // RETORT_TESTS_SERVER_RPC_JOB_SERVICE_FIXTURE_H_
