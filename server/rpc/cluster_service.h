#ifndef RETORT_SERVER_RPC_CLUSTER_SERVICE_H_
#define RETORT_SERVER_RPC_CLUSTER_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/status/status.h"
#include "core/base/clock.h"
#include "retort/v1/cluster_service.grpc.pb.h"
#include "server/auth/caller.h"
#include "server/batching/deployment_manager.h"
#include "server/metrics/service_metrics.h"
#include "server/scheduler/scheduler.h"

namespace retort::rpc {

// What ClusterService tells of; the pointers outlive it.
struct ClusterServiceDeps {
  std::string version;
  std::string executor;  // its name
  std::string node;      // this machine's name
  base::Clock* clock = nullptr;
  scheduler::Scheduler* scheduler = nullptr;
  const batching::DeploymentManager* deployments = nullptr;
  metrics::ServiceMetrics* metrics = nullptr;
};

// retort.v1.ClusterService over what the scheduler knows. Answers are made of a
// copy of it, so that no question holds the scheduler up.
class ClusterService : public v1::ClusterService::CallbackService {
 public:
  explicit ClusterService(const ClusterServiceDeps& deps) : deps_(deps) {}

  grpc::ServerUnaryReactor* GetCluster(grpc::CallbackServerContext* context,
                                       const v1::GetClusterRequest* request,
                                       v1::Cluster* response) override;
  grpc::ServerUnaryReactor* ListQueue(grpc::CallbackServerContext* context,
                                      const v1::ListQueueRequest* request,
                                      v1::ListQueueResponse* response) override;
  grpc::ServerUnaryReactor* GetQuota(grpc::CallbackServerContext* context,
                                     const v1::GetQuotaRequest* request,
                                     v1::Quota* response) override;
  grpc::ServerUnaryReactor* ListQuotas(
      grpc::CallbackServerContext* context,
      const v1::ListQuotasRequest* request,
      v1::ListQuotasResponse* response) override;
  grpc::ServerUnaryReactor* UpdateQuota(grpc::CallbackServerContext* context,
                                        const v1::UpdateQuotaRequest* request,
                                        v1::Quota* response) override;
  grpc::ServerUnaryReactor* DrainNode(grpc::CallbackServerContext* context,
                                      const v1::DrainNodeRequest* request,
                                      v1::Node* response) override;

 private:
  // These name only what the caller may see.
  absl::Status DoGetCluster(const auth::Caller& caller,
                            v1::Cluster* response) const;
  absl::Status DoListQueue(const auth::Caller& caller,
                           const v1::ListQueueRequest& request,
                           v1::ListQueueResponse* response) const;
  absl::Status DoListQuotas(const auth::Caller& caller,
                            v1::ListQuotasResponse* response) const;

  absl::Status DoGetQuota(const v1::GetQuotaRequest& request,
                          v1::Quota* response) const;
  absl::Status DoUpdateQuota(const v1::UpdateQuotaRequest& request,
                             v1::Quota* response) const;
  absl::Status DoDrainNode(const v1::DrainNodeRequest& request,
                           v1::Node* response) const;

  const ClusterServiceDeps deps_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_CLUSTER_SERVICE_H_
