#include "server/rpc/model_service.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "server/base/pagination.h"
#include "server/base/resource_name.h"
#include "server/jobs/spec_models.h"
#include "server/rpc/call_guard.h"
#include "server/rpc/export_reactor.h"
#include "server/rpc/import_reactor.h"
#include "server/rpc/refused_stream.h"
#include "server/rpc/status.h"
#include "server/rpc/unary_reactor.h"

namespace retort::rpc {

grpc::ServerReadReactor<v1::ImportModelRequest>* ModelService::ImportModel(
    grpc::CallbackServerContext* context, v1::Model* response) {
  return new ImportReactor(context, response, models_, &work_, metrics_);
}

grpc::ServerUnaryReactor* ModelService::GetModel(
    grpc::CallbackServerContext* context, const v1::GetModelRequest* request,
    v1::Model* response) {
  return Answer(
      context, "ModelService/GetModel", metrics_, [&]() -> absl::Status {
        RETORT_ASSIGN_OR_RETURN(*response, models_->Get(request->name()));
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* ModelService::ListModels(
    grpc::CallbackServerContext* context, const v1::ListModelsRequest* request,
    v1::ListModelsResponse* response) {
  return Answer(context, "ModelService/ListModels", metrics_,
                [&] { return DoList(*request, response); });
}

grpc::ServerUnaryReactor* ModelService::DeleteModel(
    grpc::CallbackServerContext* context, const v1::DeleteModelRequest* request,
    google::protobuf::Empty*) {
  return Answer(context, "ModelService/DeleteModel", metrics_,
                [&] { return DoDelete(*CallerOf(*context), *request); });
}

grpc::ServerWriteReactor<v1::ExportModelResponse>* ModelService::ExportModel(
    grpc::CallbackServerContext* context,
    const v1::ExportModelRequest* request) {
  if (const absl::Status may = MayCall(*context); !may.ok()) {
    return new RefusedStream<v1::ExportModelResponse>(ToGrpc(may));
  }
  return new ExportReactor(*request, models_, &work_, metrics_);
}

absl::Status ModelService::DoList(const v1::ListModelsRequest& request,
                                  v1::ListModelsResponse* response) const {
  RETORT_ASSIGN_OR_RETURN(const std::string project,
                          service::ParseParent(request.parent()));
  std::vector<v1::Model::Kind> kinds;
  for (const int kind : request.kinds()) {
    kinds.push_back(static_cast<v1::Model::Kind>(kind));
  }
  const std::string filter =
      absl::StrCat("models/", project, "/", absl::StrJoin(kinds, ","));
  RETORT_ASSIGN_OR_RETURN(
      const service::Page page,
      service::ParsePage(request.page_size(), request.page_token(), filter));
  RETORT_ASSIGN_OR_RETURN(const registry::ModelStore::Listing listing,
                          models_->List(project, kinds, page));
  for (const v1::Model& model : listing.models) *response->add_models() = model;
  if (listing.more) {
    response->set_next_page_token(
        service::NextPageToken(listing.last_seq, filter));
  }
  return absl::OkStatus();
}

absl::Status ModelService::DoDelete(
    const auth::Caller& caller, const v1::DeleteModelRequest& request) const {
  absl::MutexLock lock(jobs_->models_mutex());
  RETORT_ASSIGN_OR_RETURN(const std::vector<jobs::JobRecord> live,
                          jobs_->ListLive());
  std::vector<std::string> users;
  for (const jobs::JobRecord& record : live) {
    const std::vector<std::string> needed = jobs::ModelsOf(record.job.spec());
    if (std::find(needed.begin(), needed.end(), request.name()) !=
        needed.end()) {
      users.push_back(record.job.name());
    }
  }
  return models_->Delete(request.name(), request.etag(), users,
                         [&caller](const std::string& user) {
                           const auto name = service::ParseAnyName(user);
                           return name.ok() && caller.MayRead(name->project);
                         });
}

}  // namespace retort::rpc
