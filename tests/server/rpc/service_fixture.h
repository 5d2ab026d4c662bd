#ifndef RETORT_TESTS_SERVER_RPC_SERVICE_FIXTURE_H_
#define RETORT_TESTS_SERVER_RPC_SERVICE_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/batching/deployment_manager.h"
#include "server/jobs/job_store.h"
#include "server/registry/deployment_store.h"
#include "server/registry/model_store.h"
#include "server/rpc/status.h"
#include "server/scheduler/scheduler.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_executor.h"
#include "tests/support/fake_models.h"
#include "tests/support/fake_weights_tool.h"
#include "tests/support/model_files.h"
#include "tests/support/temp_dir.h"

namespace retort::rpc {

// Everything below the services of models and samples, with a fake executor,
// and a gRPC server within the process to put a service on.
class ServiceFixture : public ::testing::Test {
 protected:
  ServiceFixture() {
    db_ = *db::Database::Open(data_dir_.db_path());
    jobs_ = *jobs::JobStore::Create(db_.get(), &clock_, data_dir_);
    models_ = *registry::ModelStore::Open(db_.get(), data_dir_, &clock_,
                                          &metrics_, &tool_);
    deployments_ = *registry::DeploymentStore::Open(db_.get(), &clock_);
    batching::DeploymentManagerOptions options;
    options.timer_thread = false;
    manager_ = std::make_unique<batching::DeploymentManager>(
        batching::DeploymentManagerDeps{data_dir_, &clock_, deployments_.get(),
                                        models_.get(), &executor_, &metrics_},
        options);
    cluster_store_ = *scheduler::ClusterStore::Create(db_.get());
    scheduler_ = std::make_unique<scheduler::Scheduler>(
        scheduler::SchedulerOptions(), &clock_, jobs_.get(), &lookup_,
        &executor_, cluster_store_.get(), &metrics_);
  }
  ~ServiceFixture() override {
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now());
      server_->Wait();
    }
  }

  // Serves `service`, which the fixture's subclass owns until Shutdown().
  std::shared_ptr<grpc::Channel> Serve(grpc::Service* service) {
    grpc::ServerBuilder builder;
    builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    return server_->InProcessChannel(grpc::ChannelArguments());
  }
  void Shutdown() {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
  }

  v1::Model AddModel(const std::string& id, const std::string& kind) {
    testing::WriteModelFolder(dir_ / "result", kind);
    return *models_->Adopt("projects/default/models/" + id, "",
                           dir_ / "result");
  }

  testing::TempDir dir_;
  testing::FakeClock clock_;
  metrics::ServiceMetrics metrics_;
  testing::FakeExecutor executor_;
  base::DataDir data_dir_{dir_.path()};
  testing::FakeWeightsTool tool_;
  std::unique_ptr<db::Database> db_;
  std::unique_ptr<jobs::JobStore> jobs_;
  std::unique_ptr<registry::ModelStore> models_;
  std::unique_ptr<registry::DeploymentStore> deployments_;
  std::unique_ptr<batching::DeploymentManager> manager_;
  testing::FakeModels lookup_;
  std::unique_ptr<scheduler::ClusterStore> cluster_store_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace retort::rpc

#endif  // RETORT_TESTS_SERVER_RPC_SERVICE_FIXTURE_H_
