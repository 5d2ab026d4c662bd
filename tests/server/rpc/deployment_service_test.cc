#include "server/rpc/deployment_service.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/rpc/cluster_service.h"
#include "tests/server/rpc/not_there_yet.h"
#include "tests/server/rpc/service_fixture.h"
#include "tests/support/status_matchers.h"

namespace retort::rpc {
namespace {

using ::testing::ElementsAre;
using testing::IsOk;
using testing::StatusIs;

class DeploymentServiceTest : public ServiceFixture {
 protected:
  DeploymentServiceTest() : service_(manager_.get(), &metrics_) {
    AddModel("m", "ctm");
    stub_ = v1::DeploymentService::NewStub(Serve(&service_));
  }
  ~DeploymentServiceTest() override { Shutdown(); }

  absl::Status Create(const std::string& id) {
    grpc::ClientContext context;
    v1::CreateDeploymentRequest request;
    request.set_parent("projects/default");
    request.set_deployment_id(id);
    request.mutable_deployment()->add_models()->set_model(
        "projects/default/models/m");
    return FromGrpc(stub_->CreateDeployment(&context, request, &deployment_));
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    v1::ListDeploymentsRequest request;
    request.set_parent("projects/default");
    request.set_page_size(1);
    do {
      grpc::ClientContext context;
      v1::ListDeploymentsResponse response;
      EXPECT_TRUE(stub_->ListDeployments(&context, request, &response).ok());
      for (const auto& deployment : response.deployments()) {
        names.push_back(deployment.name());
      }
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return names;
  }

  v1::Deployment deployment_;
  DeploymentService service_;
  std::unique_ptr<v1::DeploymentService::Stub> stub_;
};

TEST_F(DeploymentServiceTest, CreatesListsAndDeletes) {
  ASSERT_THAT(Create("a"), IsOk());
  ASSERT_THAT(Create("b"), IsOk());
  EXPECT_THAT(Create("b"), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(Names(), ElementsAre("projects/default/deployments/b",
                                   "projects/default/deployments/a"));
  grpc::ClientContext context;
  v1::DeleteDeploymentRequest request;
  request.set_name("projects/default/deployments/b");
  google::protobuf::Empty response;
  EXPECT_TRUE(stub_->DeleteDeployment(&context, request, &response).ok());
  EXPECT_THAT(Names(), ElementsAre("projects/default/deployments/a"));
}

TEST_F(DeploymentServiceTest, GetSaysWhatTheDeploymentDoes) {
  ASSERT_THAT(Create("a"), IsOk());
  grpc::ClientContext context;
  v1::GetDeploymentRequest request;
  request.set_name(deployment_.name());
  v1::Deployment found;
  ASSERT_TRUE(stub_->GetDeployment(&context, request, &found).ok());
  EXPECT_EQ(found.state(), v1::Deployment::STATE_STARTING);
  EXPECT_EQ(found.state_reason(), "loads its model");
}

TEST_F(DeploymentServiceTest, AnswersWhatIsNotThereYetWithAReason) {
  EXPECT_THAT(MethodsNotThereYet(server_.get(),
                                 v1::DeploymentService::service_full_name()),
              ElementsAre("UpdateDeployment", "RollbackDeployment"));
}

class ClusterServiceTest : public ServiceFixture {
 protected:
  ClusterServiceTest() : service_(Deps()) {
    stub_ = v1::ClusterService::NewStub(Serve(&service_));
  }
  ~ClusterServiceTest() override { Shutdown(); }

  ClusterServiceDeps Deps() {
    ClusterServiceDeps deps;
    deps.version = "1.2.3";
    deps.executor = "local";
    deps.node = "here";
    deps.cpu_slots = 4;
    deps.jobs = jobs_.get();
    deps.deployments = manager_.get();
    deps.metrics = &metrics_;
    return deps;
  }

  void AddJob(const std::string& id, int threads, bool running) {
    jobs::NewJob job;
    job.project = "default";
    job.job_id = id;
    job.job.mutable_spec()->mutable_evaluate();
    job.job.mutable_spec()->mutable_resources()->set_cpu_threads(threads);
    ASSERT_THAT(jobs_->CreateJob(job), IsOk());
    if (!running) return;
    ASSERT_THAT(jobs_->Update("projects/default/jobs/" + id,
                              [](jobs::JobRecord& record, auto*) {
                                record.job.set_state(v1::Job::STATE_STARTING);
                                return absl::OkStatus();
                              }),
                IsOk());
  }

  ClusterService service_;
  std::unique_ptr<v1::ClusterService::Stub> stub_;
};

TEST_F(ClusterServiceTest, TellsWhatRunsAndWhatWaits) {
  AddJob("running", 3, true);
  AddJob("queued", 2, false);
  grpc::ClientContext context;
  v1::Cluster cluster;
  ASSERT_TRUE(
      stub_->GetCluster(&context, v1::GetClusterRequest(), &cluster).ok());
  EXPECT_EQ(cluster.version(), "1.2.3");
  EXPECT_EQ(cluster.executor(), "local");
  EXPECT_EQ(cluster.queued_jobs(), 1);
  EXPECT_EQ(cluster.running_jobs(), 1);
  ASSERT_EQ(cluster.nodes_size(), 1);
  EXPECT_EQ(cluster.nodes(0).cpu_slots(), 4);
  EXPECT_EQ(cluster.nodes(0).cpu_slots_used(), 3);
  EXPECT_THAT(cluster.nodes(0).occupants(),
              ElementsAre("projects/default/jobs/running"));
}

TEST_F(ClusterServiceTest, AnswersWhatIsNotThereYetWithAReason) {
  EXPECT_THAT(MethodsNotThereYet(server_.get(),
                                 v1::ClusterService::service_full_name()),
              ElementsAre("GetQuota", "UpdateQuota"));
}

}  // namespace
}  // namespace retort::rpc
