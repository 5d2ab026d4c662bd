#include "server/rpc/import_reactor.h"

#include <utility>

#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/rpc/call_guard.h"
#include "server/rpc/status.h"

namespace retort::rpc {

ImportReactor::ImportReactor(grpc::CallbackServerContext* context,
                             v1::Model* response, registry::ModelStore* models,
                             WorkThread* work, metrics::ServiceMetrics* metrics)
    : context_(context),
      response_(response),
      models_(models),
      work_(work),
      metrics_(metrics),
      start_(absl::Now()) {
  if (const absl::Status may = MayBegin(*context); !may.ok()) {
    End(may);
  } else {
    StartRead(&request_);
  }
}

void ImportReactor::OnReadDone(bool ok) {
  if (!ok) {
    if (context_->IsCancelled()) {
      End(absl::CancelledError("the upload was given up"));
    } else if (import_ == nullptr) {
      End(service::BadField("header", "must come in the first message"));
    } else {
      // Loading the weights takes seconds.
      work_->Schedule([this] { Commit(); });
    }
    return;
  }
  bool done = false;
  const absl::Status status = Take(&done);
  if (!status.ok() || done) {
    End(status);
  } else {
    StartRead(&request_);
  }
}

absl::Status ImportReactor::Take(bool* done) {
  if (request_.has_header()) return Begin(done);
  if (import_ == nullptr) {
    return service::BadField("header", "must come in the first message");
  }
  return import_->Append(request_.chunk());
}

absl::Status ImportReactor::Begin(bool* done) {
  if (import_ != nullptr) {
    return service::BadField("header", "must come in the first message only");
  }
  RETORT_RETURN_IF_ERROR(MayCall(*context_));
  const auto earlier = models_->FindImport(request_.header());
  if (earlier.ok()) {
    *response_ = *earlier;
    *done = true;
    return absl::OkStatus();
  }
  if (!absl::IsNotFound(earlier.status())) return earlier.status();
  RETORT_ASSIGN_OR_RETURN(import_, models_->BeginImport(request_.header()));
  return absl::OkStatus();
}

void ImportReactor::Commit() {
  auto model = models_->CommitImport(import_.get());
  if (model.ok()) *response_ = *std::move(model);
  End(model.status());
}

void ImportReactor::End(const absl::Status& status) {
  import_.reset();
  metrics_->CountRpc("ModelService/ImportModel",
                     absl::StatusCodeToString(status.code()),
                     absl::Now() - start_);
  Finish(ToGrpc(status));
}

void ImportReactor::OnDone() { delete this; }

}  // namespace retort::rpc
