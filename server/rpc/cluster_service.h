#ifndef RETORT_SERVER_RPC_CLUSTER_SERVICE_H_
#define RETORT_SERVER_RPC_CLUSTER_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/status/status.h"
#include "retort/v1/cluster_service.grpc.pb.h"
#include "server/auth/caller.h"
#include "server/batching/deployment_manager.h"
#include "server/jobs/job_store.h"
#include "server/metrics/service_metrics.h"

namespace retort::rpc {

// What ClusterService tells of; the pointers outlive it.
struct ClusterServiceDeps {
  std::string version;
  std::string executor;  // its name
  std::string node;      // this machine's name
  int cpu_slots = 0;
  const jobs::JobStore* jobs = nullptr;
  const batching::DeploymentManager* deployments = nullptr;
  metrics::ServiceMetrics* metrics = nullptr;
};

// retort.v1.ClusterService: one node, this machine. Quotas answer
// UNIMPLEMENTED.
class ClusterService : public v1::ClusterService::CallbackService {
 public:
  explicit ClusterService(const ClusterServiceDeps& deps) : deps_(deps) {}

  grpc::ServerUnaryReactor* GetCluster(grpc::CallbackServerContext* context,
                                       const v1::GetClusterRequest* request,
                                       v1::Cluster* response) override;
  grpc::ServerUnaryReactor* GetQuota(grpc::CallbackServerContext* context,
                                     const v1::GetQuotaRequest* request,
                                     v1::Quota* response) override;
  grpc::ServerUnaryReactor* UpdateQuota(grpc::CallbackServerContext* context,
                                        const v1::UpdateQuotaRequest* request,
                                        v1::Quota* response) override;

 private:
  // Names only what the caller may see.
  absl::Status DoGet(const auth::Caller& caller, v1::Cluster* response) const;

  const ClusterServiceDeps deps_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_CLUSTER_SERVICE_H_
