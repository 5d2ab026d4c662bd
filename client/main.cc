// retort: the command line of the service.

#include <grpc/support/log.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/context.h"
#include "client/flag_values.h"
#include "client/usage_error.h"
#include "core/base/version.h"

namespace retort::client {
namespace {

constexpr char kFooter[] =
    "Examples:\n"
    "  retort jobs submit -f distill.yaml --set spec.distill.training.seed=7 "
    "--watch\n"
    "  retort jobs watch my-job\n"
    "  retort deployments create clothes --model my-student --wait\n"
    "  retort sample clothes -n 64 --steps 2 --grid out.png\n"
    "Exit codes: 0 done; 1 the job failed or was cancelled; 2 usage, or a "
    "local file;\n3 not found; 4 invalid argument or spec; 5 the server does "
    "not answer (in time);\n6 another error of the server.";

void AddAccessOptions(CLI::App* app, AccessOptions* options) {
  app->add_option("--token-file", options->token_file,
                  "File with the token that the server wants, yours alone "
                  "(chmod 600); `retortd token new`, where the server is, "
                  "makes one. Or set RETORT_TOKEN to the token")
      ->envname("RETORT_TOKEN_FILE");
  app->add_flag("--tls", options->tls, "Call with TLS, by the system's CAs");
  app->add_option("--ca", options->ca,
                  "PEM file of the server's CA; calls with TLS")
      ->envname("RETORT_CA");
  app->add_option("--cert", options->cert,
                  "PEM file of your certificate, where the server wants one")
      ->envname("RETORT_CERT");
  app->add_option("--key", options->key, "PEM file of its private key")
      ->envname("RETORT_KEY");
  const char* token = std::getenv("RETORT_TOKEN");
  if (token != nullptr) options->token = token;
}

void AddGlobalOptions(CLI::App* app, GlobalOptions* options) {
  app->add_option("--server", options->server, "Address of retortd")
      ->envname("RETORT_SERVER")
      ->capture_default_str();
  app->add_option("--project", options->project, "Project")
      ->envname("RETORT_PROJECT")
      ->check(ProjectId())
      ->capture_default_str();
  AddAccessOptions(app, &options->access);
  app->add_flag("--json", options->json, "Print results as JSON");
  app->add_option("--timeout", options->timeout,
                  "Seconds a call may take; 0: no limit (default: 60 for "
                  "short calls, none for watching, transfers and sampling)");
}

CLI::App* AddGroup(CLI::App* app, const char* name, const char* description,
                   const char* footer) {
  CLI::App* group = app->add_subcommand(name, description);
  group->require_subcommand(1);
  group->footer(footer);
  return group;
}

void AddCommands(CLI::App* app, Context* context) {
  CLI::App* jobs = AddGroup(
      app, "jobs", "Train, estimate, distill, evaluate",
      "Examples:\n  retort jobs submit -f teacher.yaml --id my-teacher "
      "--watch\n  retort jobs list --state running");
  AddJobsSubmit(jobs, context);
  AddJobsList(jobs, context);
  AddJobsGet(jobs, context);
  AddJobsWatch(jobs, context);
  AddJobsLogs(jobs, context);
  AddJobsMetrics(jobs, context);
  AddJobsCheckpoints(jobs, context);
  AddJobsCompare(jobs, context);
  AddJobsClone(jobs, context);
  AddJobsExplain(jobs, context);
  AddJobsPause(jobs, context);
  AddJobsResume(jobs, context);
  AddJobsCancel(jobs, context);
  AddJobsDelete(jobs, context);
  CLI::App* models =
      AddGroup(app, "models", "Weights and what they are of",
               "Examples:\n  retort models list --kind teacher\n"
               "  retort models export my-student --out weights.safetensors");
  AddModelsList(models, context);
  AddModelsGet(models, context);
  AddModelsImport(models, context);
  AddModelsExport(models, context);
  AddModelsDelete(models, context);
  CLI::App* deployments = AddGroup(
      app, "deployments", "Models kept ready to sample from",
      "Example:\n  retort deployments create clothes --model my-student "
      "--wait");
  AddDeploymentsCreate(deployments, context);
  AddDeploymentsList(deployments, context);
  AddDeploymentsGet(deployments, context);
  AddDeploymentsDelete(deployments, context);
  CLI::App* presets =
      AddGroup(app, "presets", "Job files of published configurations",
               "Example:\n  retort presets list");
  AddPresetsList(presets, context);
  AddPresetsShow(presets, context);
  CLI::App* quotas =
      AddGroup(app, "quotas", "Who may use how much of the machines",
               "Example:\n  retort quotas set vision --weight 3 --max-gpus 16");
  AddQuotasList(quotas, context);
  AddQuotasGet(quotas, context);
  AddQuotasSet(quotas, context);
  CLI::App* nodes = AddGroup(app, "nodes", "The machines that jobs run on",
                             "Example:\n  retort nodes drain gpu-07");
  AddNodesList(nodes, context);
  AddNodesDrain(nodes, context);
  AddNodesUndrain(nodes, context);
  AddSample(app, context);
  AddTop(app, context);
  AddQueue(app, context);
  AddCluster(app, context);
  AddCompletion(app, context);
}

void PrintError(const Context& context) {
  const std::string message(context.status.message());
  if (!context.options.json) {
    fprintf(stderr, "retort: error: %s\n", message.c_str());
    return;
  }
  nlohmann::json error = {
      {"code", absl::StatusCodeToString(context.status.code())},
      {"reason", ReasonOf(context.status)},
      {"message", message}};
  fprintf(stderr, "%s\n", nlohmann::json{{"error", error}}.dump().c_str());
}

// gRPC's own complaints would stand between our lines, and in scripts' JSON;
// GRPC_VERBOSITY brings them back.
void QuietGrpc() {
  if (std::getenv("GRPC_VERBOSITY") == nullptr) {
    gpr_set_log_function([](gpr_log_func_args*) {});
  }
}

int Main(int argc, char** argv) {
  QuietGrpc();
  Context context;
  CLI::App app{
      "Retort: distills diffusion models into few-step ones and "
      "serves samples from them."};
  app.name("retort");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("retort ") + kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  AddGlobalOptions(&app, &context.options);
  AddCommands(&app, &context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help
    // The flags may not have been read yet.
    context.options.json =
        std::find(argv, argv + argc, std::string("--json")) != argv + argc;
    context.status = UsageError(app, e);
    PrintError(context);
    return kExitUsage;
  }
  if (context.status.ok()) return context.exit_code;
  PrintError(context);
  return ExitCodeOf(context.status);
}

}  // namespace
}  // namespace retort::client

int main(int argc, char** argv) { return retort::client::Main(argc, argv); }
