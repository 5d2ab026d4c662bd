#include "server/rpc/worker_service.h"

#include "server/rpc/worker_stream.h"

namespace retort::rpc {

grpc::ServerBidiReactor<internal::v1::AttachRequest,
                        internal::v1::AttachResponse>*
WorkerService::Attach(grpc::CallbackServerContext*) {
  return WorkerStream::Create(links_);
}

}  // namespace retort::rpc
