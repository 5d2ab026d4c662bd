#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/spec_file.h"
#include "core/base/status_macros.h"
#include "retort/v1/deployment_service.grpc.pb.h"

namespace retort::client {
namespace {

void PrintDeployment(const v1::Deployment& d) {
  const auto* state =
      v1::Deployment::State_descriptor()->FindValueByNumber(d.state());
  absl::PrintF("deployment %s\n", d.name());
  absl::PrintF(
      "state      %s%s\n", state == nullptr ? "?" : ShortEnumName(*state),
      d.state_reason().empty() ? "" : absl::StrCat(": ", d.state_reason()));
  absl::PrintF("replicas   %d of %d ready\n", d.ready_replicas(), d.replicas());
  for (const v1::ServedModel& m : d.models()) {
    absl::PrintF("model      %s\n", m.model());
  }
  absl::PrintF("created    %s\n", LocalTime(d.create_time()));
}

absl::Status GetDeployment(Context* context, const std::string& name) {
  v1::GetDeploymentRequest request;
  request.set_name(context->Deployment(name));
  auto stub = context->NewStub<v1::DeploymentService>();
  v1::Deployment deployment;
  RETORT_RETURN_IF_ERROR(
      context->Call(*stub, &v1::DeploymentService::Stub::GetDeployment, request,
                    &deployment));
  context->options.json ? PrintJson(deployment) : PrintDeployment(deployment);
  return absl::OkStatus();
}

}  // namespace

void AddDeploymentsGet(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = AddCommand(parent, context, "get", "Show a deployment",
                                 [=] { return GetDeployment(context, *name); });
  command->add_option("DEPLOYMENT", *name, "Id or full name")->required();
  command->footer("Example:\n  retort deployments get clothes --json");
}

}  // namespace retort::client
