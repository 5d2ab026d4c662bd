#ifndef RETORT_SERVER_RPC_IMPORT_REACTOR_H_
#define RETORT_SERVER_RPC_IMPORT_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "retort/v1/model_service.pb.h"
#include "server/metrics/service_metrics.h"
#include "server/registry/model_store.h"
#include "server/rpc/work_thread.h"

namespace retort::rpc {

// One ImportModel call. Takes the bytes as they come, one message at a time:
// the next read is started when the last bytes are written, so that a fast
// caller waits for a slow disk. The check at the end runs on the work thread.
// Whatever goes wrong, the upload's folder goes with this object. Owns itself;
// gRPC calls it one callback at a time.
class ImportReactor : public grpc::ServerReadReactor<v1::ImportModelRequest> {
 public:
  ImportReactor(grpc::CallbackServerContext* context, v1::Model* response,
                registry::ModelStore* models, WorkThread* work,
                metrics::ServiceMetrics* metrics);

  void OnReadDone(bool ok) override;
  void OnDone() override;

 private:
  ~ImportReactor() override = default;

  // Takes one message in. When `done`, the call is finished with the status.
  absl::Status Take(bool* done);
  absl::Status Begin(bool* done);
  void Commit();
  void End(const absl::Status& status);

  grpc::CallbackServerContext* const context_;
  v1::Model* const response_;
  registry::ModelStore* const models_;
  WorkThread* const work_;
  metrics::ServiceMetrics* const metrics_;
  const absl::Time start_;
  v1::ImportModelRequest request_;
  std::unique_ptr<registry::ModelImport> import_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_IMPORT_REACTOR_H_
