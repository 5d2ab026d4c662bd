#include "server/rpc/inference_service.h"

#include "server/rpc/unary_reactor.h"

namespace retort::rpc {

grpc::ServerUnaryReactor* InferenceService::ServerLive(
    grpc::CallbackServerContext* context, const inference::ServerLiveRequest*,
    inference::ServerLiveResponse*) {
  return AnswerNotImplemented(context, "GRPCInferenceService/ServerLive",
                              metrics_);
}

grpc::ServerUnaryReactor* InferenceService::ServerReady(
    grpc::CallbackServerContext* context, const inference::ServerReadyRequest*,
    inference::ServerReadyResponse*) {
  return AnswerNotImplemented(context, "GRPCInferenceService/ServerReady",
                              metrics_);
}

grpc::ServerUnaryReactor* InferenceService::ModelReady(
    grpc::CallbackServerContext* context, const inference::ModelReadyRequest*,
    inference::ModelReadyResponse*) {
  return AnswerNotImplemented(context, "GRPCInferenceService/ModelReady",
                              metrics_);
}

grpc::ServerUnaryReactor* InferenceService::ServerMetadata(
    grpc::CallbackServerContext* context,
    const inference::ServerMetadataRequest*,
    inference::ServerMetadataResponse*) {
  return AnswerNotImplemented(context, "GRPCInferenceService/ServerMetadata",
                              metrics_);
}

grpc::ServerUnaryReactor* InferenceService::ModelMetadata(
    grpc::CallbackServerContext* context,
    const inference::ModelMetadataRequest*, inference::ModelMetadataResponse*) {
  return AnswerNotImplemented(context, "GRPCInferenceService/ModelMetadata",
                              metrics_);
}

grpc::ServerUnaryReactor* InferenceService::ModelInfer(
    grpc::CallbackServerContext* context, const inference::ModelInferRequest*,
    inference::ModelInferResponse*) {
  return AnswerNotImplemented(context, "GRPCInferenceService/ModelInfer",
                              metrics_);
}

}  // namespace retort::rpc
