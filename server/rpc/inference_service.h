#ifndef RETORT_SERVER_RPC_INFERENCE_SERVICE_H_
#define RETORT_SERVER_RPC_INFERENCE_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "inference/grpc_service.grpc.pb.h"
#include "server/metrics/service_metrics.h"

namespace retort::rpc {

// inference.GRPCInferenceService, KServe's Open Inference Protocol. Every
// method answers UNIMPLEMENTED. `metrics` outlives it.
class InferenceService
    : public inference::GRPCInferenceService::CallbackService {
 public:
  explicit InferenceService(metrics::ServiceMetrics* metrics)
      : metrics_(metrics) {}

  grpc::ServerUnaryReactor* ServerLive(
      grpc::CallbackServerContext* context,
      const inference::ServerLiveRequest* request,
      inference::ServerLiveResponse* response) override;
  grpc::ServerUnaryReactor* ServerReady(
      grpc::CallbackServerContext* context,
      const inference::ServerReadyRequest* request,
      inference::ServerReadyResponse* response) override;
  grpc::ServerUnaryReactor* ModelReady(
      grpc::CallbackServerContext* context,
      const inference::ModelReadyRequest* request,
      inference::ModelReadyResponse* response) override;
  grpc::ServerUnaryReactor* ServerMetadata(
      grpc::CallbackServerContext* context,
      const inference::ServerMetadataRequest* request,
      inference::ServerMetadataResponse* response) override;
  grpc::ServerUnaryReactor* ModelMetadata(
      grpc::CallbackServerContext* context,
      const inference::ModelMetadataRequest* request,
      inference::ModelMetadataResponse* response) override;
  grpc::ServerUnaryReactor* ModelInfer(
      grpc::CallbackServerContext* context,
      const inference::ModelInferRequest* request,
      inference::ModelInferResponse* response) override;

 private:
  metrics::ServiceMetrics* const metrics_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_INFERENCE_SERVICE_H_
