#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/top_frame.h"
#include "core/base/status_macros.h"
#include "retort/v1/cluster_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status GetQuota(Context* context, const std::string& project) {
  v1::GetQuotaRequest request;
  request.set_project(ProjectName(project));
  auto stub = context->NewStub<v1::ClusterService>();
  v1::Quota quota;
  RETORT_RETURN_IF_ERROR(context->Call(
      *stub, &v1::ClusterService::Stub::GetQuota, request, &quota));
  if (context->options.json) {
    PrintJson(quota);
    return absl::OkStatus();
  }
  v1::ListQuotasResponse one;
  *one.add_quotas() = quota;
  QuotaTable(one).Print();
  return absl::OkStatus();
}

}  // namespace

void AddQuotasGet(CLI::App* parent, Context* context) {
  auto project = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(parent, context, "get",
                 "Show a project's share and limits, and what it uses",
                 [=] { return GetQuota(context, *project); });
  command->add_option("PROJECT", *project, "Its id")->required();
  command->footer(
      absl::StrCat(kQuotaColumns, "Example:\n  retort quotas get vision"));
}

}  // namespace retort::client
