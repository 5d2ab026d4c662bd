#ifndef RETORT_SERVER_RPC_DEPLOYMENT_SERVICE_H_
#define RETORT_SERVER_RPC_DEPLOYMENT_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "retort/v1/deployment_service.grpc.pb.h"
#include "server/batching/deployment_manager.h"
#include "server/metrics/service_metrics.h"

namespace retort::rpc {

// retort.v1.DeploymentService over the deployment manager. Both arguments
// outlive it. UpdateDeployment and RollbackDeployment answer UNIMPLEMENTED.
class DeploymentService : public v1::DeploymentService::CallbackService {
 public:
  DeploymentService(batching::DeploymentManager* deployments,
                    metrics::ServiceMetrics* metrics)
      : deployments_(deployments), metrics_(metrics) {}

  grpc::ServerUnaryReactor* CreateDeployment(
      grpc::CallbackServerContext* context,
      const v1::CreateDeploymentRequest* request,
      v1::Deployment* response) override;
  grpc::ServerUnaryReactor* GetDeployment(
      grpc::CallbackServerContext* context,
      const v1::GetDeploymentRequest* request,
      v1::Deployment* response) override;
  grpc::ServerUnaryReactor* ListDeployments(
      grpc::CallbackServerContext* context,
      const v1::ListDeploymentsRequest* request,
      v1::ListDeploymentsResponse* response) override;
  grpc::ServerUnaryReactor* DeleteDeployment(
      grpc::CallbackServerContext* context,
      const v1::DeleteDeploymentRequest* request,
      google::protobuf::Empty* response) override;
  grpc::ServerUnaryReactor* UpdateDeployment(
      grpc::CallbackServerContext* context,
      const v1::UpdateDeploymentRequest* request,
      v1::Deployment* response) override;
  grpc::ServerUnaryReactor* RollbackDeployment(
      grpc::CallbackServerContext* context,
      const v1::RollbackDeploymentRequest* request,
      v1::Deployment* response) override;

 private:
  absl::Status DoList(const v1::ListDeploymentsRequest& request,
                      v1::ListDeploymentsResponse* response) const;

  batching::DeploymentManager* const deployments_;
  metrics::ServiceMetrics* const metrics_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_DEPLOYMENT_SERVICE_H_
