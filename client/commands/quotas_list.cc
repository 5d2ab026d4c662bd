#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/top_frame.h"
#include "core/base/status_macros.h"
#include "retort/v1/cluster_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status ListQuotas(Context* context) {
  auto stub = context->NewStub<v1::ClusterService>();
  v1::ListQuotasResponse response;
  RETORT_RETURN_IF_ERROR(context->Call(*stub,
                                       &v1::ClusterService::Stub::ListQuotas,
                                       v1::ListQuotasRequest(), &response));
  if (context->options.json) {
    PrintJsonList("quotas", response.quotas());
  } else {
    QuotaTable(response).Print(
        "no project has jobs or limits yet; set some with: retort quotas set "
        "PROJECT");
  }
  return absl::OkStatus();
}

}  // namespace

void AddQuotasList(CLI::App* parent, Context* context) {
  CLI::App* command = AddCommand(
      parent, context, "list",
      "List the shares and limits of all projects, and what they use",
      [=] { return ListQuotas(context); });
  command->footer(
      absl::StrCat(kQuotaColumns, "Example:\n  retort quotas list --json"));
}

}  // namespace retort::client
