#ifndef RETORT_SERVER_RPC_MODEL_SERVICE_H_
#define RETORT_SERVER_RPC_MODEL_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "retort/v1/model_service.grpc.pb.h"
#include "server/auth/caller.h"
#include "server/jobs/job_store.h"
#include "server/metrics/service_metrics.h"
#include "server/registry/model_store.h"
#include "server/rpc/work_thread.h"

namespace retort::rpc {

// retort.v1.ModelService over the registry. `jobs` tells which live jobs need
// a model. All arguments outlive the service, and the service the server.
class ModelService : public v1::ModelService::CallbackService {
 public:
  ModelService(registry::ModelStore* models, const jobs::JobStore* jobs,
               metrics::ServiceMetrics* metrics)
      : models_(models), jobs_(jobs), metrics_(metrics) {}

  grpc::ServerReadReactor<v1::ImportModelRequest>* ImportModel(
      grpc::CallbackServerContext* context, v1::Model* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::Model* response) override;
  grpc::ServerUnaryReactor* ListModels(
      grpc::CallbackServerContext* context,
      const v1::ListModelsRequest* request,
      v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* DeleteModel(
      grpc::CallbackServerContext* context,
      const v1::DeleteModelRequest* request,
      google::protobuf::Empty* response) override;
  grpc::ServerWriteReactor<v1::ExportModelResponse>* ExportModel(
      grpc::CallbackServerContext* context,
      const v1::ExportModelRequest* request) override;

 private:
  absl::Status DoList(const v1::ListModelsRequest& request,
                      v1::ListModelsResponse* response) const;
  absl::Status DoDelete(const auth::Caller& caller,
                        const v1::DeleteModelRequest& request) const;

  registry::ModelStore* const models_;
  const jobs::JobStore* const jobs_;
  metrics::ServiceMetrics* const metrics_;
  WorkThread work_;  // last: it ends before what it works on
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_MODEL_SERVICE_H_
