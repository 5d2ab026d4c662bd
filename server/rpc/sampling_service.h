#ifndef RETORT_SERVER_RPC_SAMPLING_SERVICE_H_
#define RETORT_SERVER_RPC_SAMPLING_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "retort/v1/sampling_service.grpc.pb.h"
#include "server/batching/deployment_manager.h"
#include "server/metrics/service_metrics.h"

namespace retort::rpc {

// retort.v1.SamplingService over the deployment manager. A call's deadline and
// its cancellation go with the request, to the replica too. Both arguments
// outlive it. StreamSample answers UNIMPLEMENTED.
class SamplingService : public v1::SamplingService::CallbackService {
 public:
  SamplingService(batching::DeploymentManager* deployments,
                  metrics::ServiceMetrics* metrics)
      : deployments_(deployments), metrics_(metrics) {}

  grpc::ServerUnaryReactor* Sample(grpc::CallbackServerContext* context,
                                   const v1::SampleRequest* request,
                                   v1::SampleResponse* response) override;
  grpc::ServerWriteReactor<v1::StreamSampleResponse>* StreamSample(
      grpc::CallbackServerContext* context,
      const v1::StreamSampleRequest* request) override;

 private:
  batching::DeploymentManager* const deployments_;
  metrics::ServiceMetrics* const metrics_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_SAMPLING_SERVICE_H_
