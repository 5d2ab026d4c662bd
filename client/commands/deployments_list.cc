#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/spec_file.h"
#include "client/table.h"
#include "core/base/status_macros.h"
#include "retort/v1/deployment_service.grpc.pb.h"

namespace retort::client {
namespace {

void PrintDeployments(const v1::ListDeploymentsResponse& response) {
  Table table({"DEPLOYMENT", "STATE", "READY", "MODEL", "CREATED", "REASON"});
  const absl::Time now = absl::Now();
  for (const v1::Deployment& d : response.deployments()) {
    const auto* state =
        v1::Deployment::State_descriptor()->FindValueByNumber(d.state());
    table.Add({ShortName(d.name()),
               state == nullptr ? "" : ShortEnumName(*state),
               absl::StrCat(d.ready_replicas(), "/", d.replicas()),
               d.models().empty() ? "" : ShortName(d.models(0).model()),
               Ago(d.create_time(), now), d.state_reason()});
  }
  table.Print(
      "no deployments; make one with: retort deployments create ID --model "
      "MODEL");
}

absl::Status ListDeployments(Context* context) {
  v1::ListDeploymentsRequest request;
  request.set_parent(context->Parent());
  auto stub = context->NewStub<v1::DeploymentService>();
  v1::ListDeploymentsResponse all;
  do {
    v1::ListDeploymentsResponse page;
    RETORT_RETURN_IF_ERROR(context->Call(
        *stub, &v1::DeploymentService::Stub::ListDeployments, request, &page));
    all.mutable_deployments()->MergeFrom(page.deployments());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (context->options.json) {
    PrintJsonList("deployments", all.deployments());
  } else {
    PrintDeployments(all);
  }
  return absl::OkStatus();
}

}  // namespace

void AddDeploymentsList(CLI::App* parent, Context* context) {
  CLI::App* command = AddCommand(parent, context, "list", "List deployments",
                                 [=] { return ListDeployments(context); });
  command->footer("Example:\n  retort deployments list");
}

}  // namespace retort::client
