#ifndef RETORT_SERVER_RPC_EXPORT_REACTOR_H_
#define RETORT_SERVER_RPC_EXPORT_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/sha256.h"
#include "retort/v1/model_service.pb.h"
#include "server/metrics/service_metrics.h"
#include "server/registry/model_store.h"
#include "server/rpc/work_thread.h"

namespace retort::rpc {

// One ExportModel call. A conversion runs on the work thread first. A piece of
// the file is read when the one before it has been sent, so that a slow caller
// costs one piece of memory. The file stays open: a model that is deleted
// meanwhile is still sent to its end, and a converted file is removed at once.
// Owns itself; gRPC calls it one callback at a time, but for OnCancel.
class ExportReactor : public grpc::ServerWriteReactor<v1::ExportModelResponse> {
 public:
  ExportReactor(const v1::ExportModelRequest& request,
                registry::ModelStore* models, WorkThread* work,
                metrics::ServiceMetrics* metrics);

  void OnWriteDone(bool ok) override;
  void OnCancel() override { cancelled_ = true; }
  void OnDone() override;

 private:
  ~ExportReactor() override = default;

  // Runs on the work thread.
  void Convert(const std::string& name);
  absl::Status Open(const absl::StatusOr<std::string>& path);
  // Notes the hash that the model's manifest has for `file` ("": the weights).
  absl::Status Expect(const std::string& name, const std::string& file);
  // Sends the first piece of what is open, or ends with the error.
  void Begin(const absl::Status& opened);
  void SendNext();
  void End(const absl::Status& status);

  registry::ModelStore* const models_;
  metrics::ServiceMetrics* const metrics_;
  const absl::Time start_;
  std::atomic<bool> cancelled_{false};
  std::string path_;
  std::string expected_sha256_;  // empty: unknown
  base::Sha256 hash_;            // of what was read
  std::ifstream file_;
  int64_t left_ = 0;
  v1::ExportModelResponse response_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_EXPORT_REACTOR_H_
