#ifndef RETORT_SERVER_RPC_WORKER_SERVICE_H_
#define RETORT_SERVER_RPC_WORKER_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "retort/internal/v1/worker.grpc.pb.h"
#include "server/executor/worker_links.h"

namespace retort::rpc {

// Where workers attach. Served on the unix socket, and for those of other
// machines on a port of its own; never where the API is.
class WorkerService final
    : public internal::v1::WorkerService::CallbackService {
 public:
  explicit WorkerService(executor::WorkerLinks* links) : links_(links) {}

  grpc::ServerBidiReactor<internal::v1::AttachRequest,
                          internal::v1::AttachResponse>*
  Attach(grpc::CallbackServerContext* context) override;

 private:
  executor::WorkerLinks* const links_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_WORKER_SERVICE_H_
