#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/commands/commands.h"
#include "client/flag_values.h"
#include "client/output.h"
#include "core/base/status_macros.h"
#include "retort/v1/deployment_service.grpc.pb.h"

namespace retort::client {
namespace {

struct CreateOptions {
  std::string id;
  std::string model;
  std::string display_name;
  int replicas = 0;
  int threads = 0;
  bool wait = false;
  double wait_seconds = 120;
};

// Looks again and again until the deployment is ready or has failed.
absl::Status AwaitReady(Context* context, v1::DeploymentService::Stub& stub,
                        double seconds, v1::Deployment* deployment) {
  const absl::Time give_up = absl::Now() + absl::Seconds(seconds);
  v1::GetDeploymentRequest request;
  request.set_name(deployment->name());
  while (deployment->state() != v1::Deployment::STATE_READY) {
    if (deployment->state() == v1::Deployment::STATE_FAILED) {
      return absl::AbortedError(absl::StrCat(
          deployment->name(), " failed: ", deployment->state_reason()));
    }
    if (absl::Now() > give_up) {
      return absl::DeadlineExceededError(
          absl::StrCat(deployment->name(), " is not ready after ", seconds,
                       " s (", deployment->state_reason(),
                       "); look again with: retort deployments "
                       "get ",
                       ShortName(deployment->name())));
    }
    absl::SleepFor(absl::Milliseconds(200));
    RETORT_RETURN_IF_ERROR(
        context->Call(stub, &v1::DeploymentService::Stub::GetDeployment,
                      request, deployment));
  }
  return absl::OkStatus();
}

absl::Status CreateDeployment(Context* context, const CreateOptions& options) {
  v1::CreateDeploymentRequest request;
  request.set_parent(context->Parent());
  request.set_deployment_id(options.id);
  request.set_request_id(NewRequestId());
  v1::Deployment* wanted = request.mutable_deployment();
  wanted->set_display_name(options.display_name);
  wanted->add_models()->set_model(context->Model(options.model));
  wanted->set_replicas(options.replicas);
  wanted->set_cpu_threads(options.threads);
  auto stub = context->NewStub<v1::DeploymentService>();
  v1::Deployment deployment;
  RETORT_RETURN_IF_ERROR(
      context->Call(*stub, &v1::DeploymentService::Stub::CreateDeployment,
                    request, &deployment));
  if (options.wait) {
    RETORT_RETURN_IF_ERROR(
        AwaitReady(context, *stub, options.wait_seconds, &deployment));
  }
  if (context->options.json) {
    PrintJson(deployment);
  } else {
    const bool ready = deployment.state() == v1::Deployment::STATE_READY;
    puts(absl::StrCat(ShortName(deployment.name()),
                      ready ? " is ready" : " is starting",
                      "; sample with: "
                      "retort sample ",
                      ShortName(deployment.name()), " -n 16 --grid out.png")
             .c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddDeploymentsCreate(CLI::App* parent, Context* context) {
  auto options = std::make_shared<CreateOptions>();
  CLI::App* command = AddCommand(
      parent, context, "create", "Keep a model loaded, ready to sample from",
      [=] { return CreateDeployment(context, *options); });
  command->add_option("DEPLOYMENT", options->id,
                      "Id of the deployment, [a-z0-9-]{1,63}");
  command->add_option("--model", options->model, "Id or full name of a model")
      ->required();
  command
      ->add_option("--replicas", options->replicas,
                   "Processes that serve it (default 1)")
      ->check(ZeroOrMore());
  command
      ->add_option("--threads", options->threads,
                   "Threads of each (default: all)")
      ->check(ZeroOrMore());
  command->add_option("--display-name", options->display_name,
                      "Name for people");
  command->add_flag("--wait", options->wait, "Return when it is ready");
  command
      ->add_option("--wait-seconds", options->wait_seconds,
                   "For so long at most")
      ->capture_default_str();
  command->footer(
      "Example:\n  retort deployments create clothes --model my-student "
      "--wait");
}

}  // namespace retort::client
