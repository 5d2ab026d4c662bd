#ifndef RETORT_SERVER_RPC_EXPORT_REACTOR_H_
#define RETORT_SERVER_RPC_EXPORT_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "retort/v1/model_service.pb.h"
#include "server/metrics/service_metrics.h"
#include "server/registry/model_store.h"

namespace retort::rpc {

// One ExportModel call. A piece of the file is read when the one before it has
// been sent, so that a slow caller costs one piece of memory. The file stays
// open: a model that is deleted meanwhile is still sent to its end. Owns
// itself; gRPC calls it one callback at a time.
class ExportReactor : public grpc::ServerWriteReactor<v1::ExportModelResponse> {
 public:
  ExportReactor(const v1::ExportModelRequest& request,
                registry::ModelStore* models, metrics::ServiceMetrics* metrics);

  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  ~ExportReactor() override = default;

  absl::Status Open(const v1::ExportModelRequest& request,
                    registry::ModelStore* models);
  void SendNext();
  void End(const absl::Status& status);

  metrics::ServiceMetrics* const metrics_;
  const absl::Time start_;
  std::string path_;
  std::ifstream file_;
  int64_t left_ = 0;
  v1::ExportModelResponse response_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_EXPORT_REACTOR_H_
