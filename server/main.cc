// retortd: see server/server.h for what it does, --help for how to start it.
#include <grpc/support/log.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "core/base/stop_flag.h"
#include "core/base/version.h"
#include "server/auth/new_token.h"
#include "server/options.h"
#include "server/server.h"

namespace retort {
namespace {

// Could not start: options, files, ports.
constexpr int kExitUsage = 2;
constexpr absl::Duration kSignalPoll = absl::Milliseconds(100);

// gRPC's own complaints are for those who debug it; what matters is said by
// us, once.
void LogFromGrpc(gpr_log_func_args* args) {
  RETORT_LOG(debug, "grpc: {}", args->message);
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "retortd: %s\n", std::string(status.message()).c_str());
  return kExitUsage;
}

void AddSecurityOptions(ServerOptions* options, CLI::App* app) {
  app->add_option("--tls_cert", options->tls.cert,
                  "PEM file of the server's certificate; gRPC is served with "
                  "TLS then");
  app->add_option("--tls_key", options->tls.key, "PEM file of its private key");
  app->add_option("--tls_client_ca", options->tls.client_ca,
                  "PEM file of the CAs of which callers must have a "
                  "certificate (mutual TLS)");
  app->add_option("--tokens_file", options->tokens_file,
                  "YAML file of who may call what, mode 600; see token new");
  app->add_flag("--insecure,!--no-insecure", options->insecure,
                "Serve without TLS on an address that others can reach");
  app->add_flag("--http_insecure,!--no-http_insecure", options->http_insecure,
                "Serve --http_listen on an address that others can reach");
}

void AddExecutorOptions(ServerOptions* options, CLI::App* app) {
  app->add_option("--executor", options->executor,
                  "Who runs jobs: local (this machine), or slurm")
      ->capture_default_str();
  app->add_option("--worker_listen", options->worker_listen,
                  "host:port where workers of Slurm dial in; always the same")
      ->capture_default_str();
  app->add_option("--worker_address", options->worker_address,
                  "The same as the nodes see it; default: worker_listen, by "
                  "this machine's name");
  app->add_option("--slurm_bin", options->slurm_bin,
                  "Folder of Slurm's commands; default: the first in PATH");
  app->add_option("--cpu_slots", options->cpu_slots,
                  "CPU threads that jobs may use together; 0: all");
  app->add_option("--gpus", options->gpus,
                  "GPUs that jobs may use; -1: all there are")
      ->capture_default_str();
}

void AddOptions(ServerOptions* options, CLI::App* app) {
  app->add_option("--data_dir", options->data_dir,
                  "Folder of everything that is kept; default "
                  "~/.local/share/retort");
  app->add_option("--listen", options->listen,
                  "host:port for gRPC; port 0: any free one")
      ->capture_default_str();
  app->add_option("--http_listen", options->http_listen,
                  "host:port for /metrics and /healthz, or none")
      ->capture_default_str();
  app->add_option("--worker_binary", options->worker_binary,
                  "The worker's program; default: retort-worker beside this "
                  "one");
  AddExecutorOptions(options, app);
  app->add_option("--min_run", options->min_run,
                  "Seconds that a job has run before it is asked to make room "
                  "for one of a higher class")
      ->capture_default_str();
  AddSecurityOptions(options, app);
  app->add_option("--log_level", options->log_level,
                  "trace, debug, info, warn, error")
      ->capture_default_str();
  const auto advanced = [app](const char* name, double* seconds,
                              const char* what) {
    app->add_option(name, *seconds, what)
        ->capture_default_str()
        ->group("Advanced, in seconds");
  };
  advanced("--lease", &options->lease,
           "How long workers of jobs work on without a server");
  advanced("--attach_timeout", &options->attach_timeout,
           "How long workers may take to attach once they have a place");
  advanced("--hang_timeout", &options->hang_timeout,
           "A worker not heard of for so long hangs");
  advanced("--stall_timeout", &options->stall_timeout,
           "A worker busy with one thing for so long hangs");
}

// `retortd token new`: makes a token, and says what goes into the tokens file.
void AddTokenCommand(CLI::App* app, int* exit_code) {
  struct Wish {
    auth::TokenWish token;
    std::string out;
  };
  auto wish = std::make_shared<Wish>();
  CLI::App* token =
      app->add_subcommand("token", "Tokens of those who may call");
  token->require_subcommand(1);
  CLI::App* command = token->add_subcommand(
      "new",
      "Makes a token: writes it to --out (else to standard error, once), and "
      "its entry for the tokens file, which has only its hash, to standard "
      "output");
  command->add_option("--name", wish->token.name, "Whose it is")->required();
  command->add_option("--role", wish->token.role, "viewer, user or operator")
      ->capture_default_str();
  command
      ->add_option("--project", wish->token.projects,
                   "Project it is for, or \"*\"; may be repeated")
      ->required();
  command->add_option("--reads", wish->token.reads,
                      "Project it may read besides; may be repeated");
  command->add_option("--out", wish->out, "File for the token, made mode 600");
  command->footer(
      "tokens.yaml (--tokens_file) is for nobody else to read: chmod 600, or "
      "640 "
      "with the group that retortd runs as. Who "
      "has alice.token calls with retort --token-file alice.token.\n\n"
      "Example:\n  retortd token new --name alice --project vision "
      "--out alice.token >> tokens.yaml");
  command->callback([wish, exit_code] {
    const auto made = auth::MakeToken(wish->token);
    absl::Status status = made.status();
    if (status.ok() && !wish->out.empty()) {
      status = auth::WriteToken(wish->out, made->token);
    }
    if (!status.ok()) {
      *exit_code = Fail(status);
      return;
    }
    if (wish->out.empty()) std::fprintf(stderr, "%s\n", made->token.c_str());
    std::fputs(made->entry.c_str(), stdout);
    *exit_code = 0;
  });
}

// The file named by --config, which is read before the flags, since they win.
std::string ConfigPath(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--config" && i + 1 < argc) return argv[i + 1];
    if (argument.rfind("--config=", 0) == 0) return argument.substr(9);
  }
  return "";
}

absl::Status ReadConfig(const std::string& path, ServerOptions* options) {
  if (path.empty()) return absl::OkStatus();
  RETORT_ASSIGN_OR_RETURN(std::string yaml, base::ReadFile(path, 1 << 20));
  return ApplyYaml(yaml, path, options);
}

absl::Status Serve(const ServerOptions& options) {
  RETORT_ASSIGN_OR_RETURN(std::unique_ptr<Server> server,
                          Server::Create(options));
  RETORT_RETURN_IF_ERROR(server->Start());
  while (!base::StopRequested()) base::RealClock()->Sleep(kSignalPoll);
  RETORT_LOG(info, "signal {}: stopping (a second Ctrl-C ends it at once)",
             base::StopSignal());
  server->Stop();
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  ServerOptions options;
  absl::Status status = ReadConfig(ConfigPath(argc, argv), &options);
  if (!status.ok()) return Fail(status);

  CLI::App app(
      "retortd: the Retort service. Keeps jobs, models and deployments, and "
      "runs them as worker processes of this machine or of a Slurm cluster.",
      "retortd");
  std::string config;
  bool dry_run = false;
  AddOptions(&options, &app);
  app.add_option("--config", config,
                 "YAML file with the same options; flags win");
  app.add_flag("--dry_run", dry_run, "Print the options as resolved, and stop");
  app.set_version_flag("--version", std::string("retortd ") + kVersion);
  app.footer(
      "Example:\n  retortd --data_dir=./data --listen=127.0.0.1:0\n"
      "The addresses chosen are in <data_dir>/retortd.json.");
  int done = -1;  // the exit code, if a command ran instead of the service
  AddTokenCommand(&app, &done);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat(error.what(), "; see retortd --help")));
  }

  if (done >= 0) return done;

  status = options.Resolve(argv[0]);
  if (status.ok()) status = base::InitLog("retortd", options.log_level);
  if (!status.ok()) return Fail(status);
  if (dry_run) {
    std::fputs(options.ToYaml().c_str(), stdout);
    return 0;
  }
  for (const std::string& doubt : options.Doubts()) {
    RETORT_LOG(warn, "{}", doubt);
  }
  gpr_set_log_function(LogFromGrpc);
  base::InstallStopSignals();
  status = Serve(options);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace
}  // namespace retort

int main(int argc, char** argv) { return retort::Main(argc, argv); }
