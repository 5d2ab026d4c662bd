#include "server/rpc/deployment_service.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/base/pagination.h"
#include "server/base/resource_name.h"
#include "server/rpc/unary_reactor.h"

namespace retort::rpc {

grpc::ServerUnaryReactor* DeploymentService::CreateDeployment(
    grpc::CallbackServerContext* context,
    const v1::CreateDeploymentRequest* request, v1::Deployment* response) {
  return Answer(context, "DeploymentService/CreateDeployment", metrics_,
                [&]() -> absl::Status {
                  RETORT_ASSIGN_OR_RETURN(*response,
                                          deployments_->Create(*request));
                  return absl::OkStatus();
                });
}

grpc::ServerUnaryReactor* DeploymentService::GetDeployment(
    grpc::CallbackServerContext* context,
    const v1::GetDeploymentRequest* request, v1::Deployment* response) {
  return Answer(context, "DeploymentService/GetDeployment", metrics_,
                [&]() -> absl::Status {
                  RETORT_ASSIGN_OR_RETURN(*response,
                                          deployments_->Get(request->name()));
                  return absl::OkStatus();
                });
}

grpc::ServerUnaryReactor* DeploymentService::ListDeployments(
    grpc::CallbackServerContext* context,
    const v1::ListDeploymentsRequest* request,
    v1::ListDeploymentsResponse* response) {
  return Answer(context, "DeploymentService/ListDeployments", metrics_,
                [&] { return DoList(*request, response); });
}

grpc::ServerUnaryReactor* DeploymentService::DeleteDeployment(
    grpc::CallbackServerContext* context,
    const v1::DeleteDeploymentRequest* request, google::protobuf::Empty*) {
  return Answer(context, "DeploymentService/DeleteDeployment", metrics_, [&] {
    return deployments_->Delete(request->name(), request->etag());
  });
}

grpc::ServerUnaryReactor* DeploymentService::UpdateDeployment(
    grpc::CallbackServerContext* context, const v1::UpdateDeploymentRequest*,
    v1::Deployment*) {
  return AnswerNotImplemented(context, "DeploymentService/UpdateDeployment",
                              metrics_);
}

grpc::ServerUnaryReactor* DeploymentService::RollbackDeployment(
    grpc::CallbackServerContext* context, const v1::RollbackDeploymentRequest*,
    v1::Deployment*) {
  return AnswerNotImplemented(context, "DeploymentService/RollbackDeployment",
                              metrics_);
}

absl::Status DeploymentService::DoList(
    const v1::ListDeploymentsRequest& request,
    v1::ListDeploymentsResponse* response) const {
  RETORT_ASSIGN_OR_RETURN(const std::string project,
                          service::ParseParent(request.parent()));
  const std::string filter = absl::StrCat("deployments/", project);
  RETORT_ASSIGN_OR_RETURN(
      const service::Page page,
      service::ParsePage(request.page_size(), request.page_token(), filter));
  RETORT_ASSIGN_OR_RETURN(const registry::DeploymentStore::Listing listing,
                          deployments_->List(project, page));
  for (const v1::Deployment& deployment : listing.deployments) {
    *response->add_deployments() = deployment;
  }
  if (listing.more) {
    response->set_next_page_token(
        service::NextPageToken(listing.last_seq, filter));
  }
  return absl::OkStatus();
}

}  // namespace retort::rpc
