#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "core/base/status_macros.h"
#include "retort/v1/deployment_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status DeleteDeployment(Context* context, const std::string& name) {
  v1::DeleteDeploymentRequest request;
  request.set_name(context->Deployment(name));
  auto stub = context->NewStub<v1::DeploymentService>();
  google::protobuf::Empty nothing;
  RETORT_RETURN_IF_ERROR(
      context->Call(*stub, &v1::DeploymentService::Stub::DeleteDeployment,
                    request, &nothing));
  puts(context->options.json
           ? "{}"
           : absl::StrCat("deleted ", request.name()).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddDeploymentsDelete(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(parent, context, "delete",
                 "End a deployment after the requests in flight are answered",
                 [=] { return DeleteDeployment(context, *name); });
  command->add_option("DEPLOYMENT", *name, "Id or full name")->required();
  command->footer("Example:\n  retort deployments delete clothes");
}

}  // namespace retort::client
