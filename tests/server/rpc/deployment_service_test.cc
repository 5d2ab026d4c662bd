#include "server/rpc/deployment_service.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

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

}  // namespace
}  // namespace retort::rpc
