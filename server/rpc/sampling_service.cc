#include "server/rpc/sampling_service.h"

#include <memory>
#include <string>
#include <utility>

#include "server/rpc/call_guard.h"
#include "server/rpc/refused_stream.h"
#include "server/rpc/status.h"
#include "server/rpc/unary_reactor.h"

namespace retort::rpc {

grpc::ServerUnaryReactor* SamplingService::Sample(
    grpc::CallbackServerContext* context, const v1::SampleRequest* request,
    v1::SampleResponse* response) {
  std::shared_ptr<DeferredCall> call =
      DeferredCall::Create(context, "SamplingService/Sample", metrics_);
  grpc::ServerUnaryReactor* reactor = call->reactor();
  if (const absl::Status may = MayCall(*context); !may.ok()) {
    call->Finish(may);
    return reactor;
  }
  // Submit may answer at once, which ends the request's life.
  const std::string deployment = request->deployment();
  const int64_t id = deployments_->Submit(
      *request, DeadlineOf(*context),
      [call, response](absl::StatusOr<v1::SampleResponse> result) {
        if (result.ok()) *response = *std::move(result);
        call->Finish(result.status());
      });
  if (id != 0) {
    call->OnCancel([deployments = deployments_, deployment, id] {
      deployments->Cancel(deployment, id);
    });
  }
  return reactor;
}

grpc::ServerWriteReactor<v1::StreamSampleResponse>*
SamplingService::StreamSample(grpc::CallbackServerContext* context,
                              const v1::StreamSampleRequest*) {
  if (const absl::Status may = MayCall(*context); !may.ok()) {
    return new RefusedStream<v1::StreamSampleResponse>(ToGrpc(may));
  }
  metrics_->CountRpc("SamplingService/StreamSample", "UNIMPLEMENTED",
                     absl::ZeroDuration());
  return new RefusedStream<v1::StreamSampleResponse>(
      NotImplementedMethod("SamplingService/StreamSample"));
}

}  // namespace retort::rpc
