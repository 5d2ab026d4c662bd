#include "server/rpc/export_reactor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/registry/model_manifest.h"
#include "server/rpc/status.h"

namespace retort::rpc {
namespace {

constexpr int64_t kPieceBytes = int64_t{1} << 20;

}  // namespace

ExportReactor::ExportReactor(const v1::ExportModelRequest& request,
                             registry::ModelStore* models, WorkThread* work,
                             metrics::ServiceMetrics* metrics)
    : models_(models), metrics_(metrics), start_(absl::Now()) {
  switch (request.conversion()) {
    case v1::ExportModelRequest::CONVERSION_UNSPECIFIED:
      Begin([&]() -> absl::Status {
        RETORT_RETURN_IF_ERROR(
            Open(models->FilePath(request.name(), request.file())));
        return Expect(request.name(), request.file());
      }());
      break;
    case v1::ExportModelRequest::CONVERSION_PYTORCH_ZIP:
      work->Schedule([this, name = request.name()] { Convert(name); });
      break;
    default:
      End(service::BadField("conversion", "is not a known one"));
  }
}

void ExportReactor::Convert(const std::string& name) {
  const auto folder =
      models_->ConvertForExport(name, [this] { return cancelled_.load(); });
  if (!folder.ok()) {
    Begin(folder.status());
    return;
  }
  const absl::Status opened =
      Open(absl::StrCat(*folder, "/", registry::kExportedFile));
  // What is open lives on.
  const absl::Status removed = base::RemoveTree(*folder);
  if (!removed.ok()) {
    RETORT_LOG(warn, "cannot remove an export: {}", removed.ToString());
  }
  Begin(opened);
}

void ExportReactor::Begin(const absl::Status& opened) {
  if (!opened.ok()) {
    End(opened);
    return;
  }
  response_.set_size_bytes(left_);
  SendNext();
}

absl::Status ExportReactor::Open(const absl::StatusOr<std::string>& path) {
  RETORT_RETURN_IF_ERROR(path.status());
  path_ = *path;
  RETORT_ASSIGN_OR_RETURN(left_, base::FileSize(path_));
  file_.open(path_, std::ios::binary);
  if (!file_) {
    return absl::DataLossError(absl::StrCat(
        path_, " cannot be read; check its permissions on the server"));
  }
  return absl::OkStatus();
}

absl::Status ExportReactor::Expect(const std::string& name,
                                   const std::string& file) {
  RETORT_ASSIGN_OR_RETURN(const v1::Model model, models_->Get(name));
  RETORT_ASSIGN_OR_RETURN(const nlohmann::json manifest,
                          registry::ToJson(model.manifest()));
  RETORT_ASSIGN_OR_RETURN(const registry::ModelFacts facts,
                          registry::ParseManifest(manifest));
  const auto found = facts.files.find(file.empty() ? facts.weights_file : file);
  if (found != facts.files.end()) expected_sha256_ = found->second;
  return absl::OkStatus();
}

void ExportReactor::SendNext() {
  std::string* chunk = response_.mutable_chunk();
  chunk->resize(static_cast<size_t>(std::min(left_, kPieceBytes)));
  if (!file_.read(chunk->data(), static_cast<std::streamsize>(chunk->size()))) {
    End(absl::DataLossError(
        absl::StrCat(path_, " ended early; check the server's disk")));
    return;
  }
  left_ -= static_cast<int64_t>(chunk->size());
  if (!expected_sha256_.empty()) {
    hash_.Update(*chunk);
    // The last piece stays here, so that nobody takes the file for whole.
    if (left_ == 0 && hash_.HexDigest() != expected_sha256_) {
      End(absl::DataLossError(absl::StrCat(
          path_, " is damaged: it is not what the model's manifest says; ",
          "import or make the model again")));
      return;
    }
  }
  StartWrite(&response_);
}

void ExportReactor::OnWriteDone(bool ok) {
  response_.clear_size_bytes();
  if (!ok) {
    End(absl::CancelledError("the caller gave up"));
  } else if (left_ > 0) {
    SendNext();
  } else {
    End(absl::OkStatus());
  }
}

void ExportReactor::End(const absl::Status& status) {
  metrics_->CountRpc("ModelService/ExportModel",
                     absl::StatusCodeToString(status.code()),
                     absl::Now() - start_);
  Finish(ToGrpc(status));
}

void ExportReactor::OnDone() { delete this; }

}  // namespace retort::rpc
