#include "server/make_executor.h"

#include <cstdlib>

#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "server/executor/local_executor.h"
#include "server/executor/slurm_commands.h"
#include "server/executor/slurm_executor.h"

namespace retort {
namespace {

std::unique_ptr<executor::Executor> MakeLocal(const ServerOptions& options,
                                              const std::string& socket_path,
                                              executor::WorkerLinks* links) {
  executor::LocalExecutorOptions local;
  local.worker_binary = options.worker_binary;
  local.socket_path = socket_path;
  local.log_level = options.log_level;
  local.cpus = options.cpu_slots;
  local.gpus = options.gpus;
  local.lease = absl::Seconds(options.lease);
  return std::make_unique<executor::LocalExecutor>(local, links);
}

absl::StatusOr<std::unique_ptr<executor::Executor>> MakeSlurm(
    const ServerOptions& options, executor::WorkerLinks* links) {
  RETORT_ASSIGN_OR_RETURN(const std::string folder,
                          executor::slurm::FindPrograms(options.slurm_bin));
  if (options.tls.enabled() && std::getenv("RETORT_WORKER_CA") == nullptr) {
    RETORT_LOG(warn,
               "workers will dial in the clear, which --worker_listen refuses: "
               "set RETORT_WORKER_CA to the CA's path as the nodes see it "
               "(docs/security.md)");
  }
  executor::SlurmExecutorOptions slurm;
  // The data folder is what makes a service: one that is moved to another
  // machine finds its jobs again.
  slurm.script.instance = base::Sha256Hex(options.data_dir).substr(0, 8);
  slurm.script.worker_binary = options.worker_binary;
  slurm.script.server = options.worker_address;
  slurm.script.log_level = options.log_level;
  slurm.script.lease = absl::Seconds(options.lease);
  return std::make_unique<executor::SlurmExecutor>(
      slurm, executor::slurm::RunFrom(folder), links);
}

}  // namespace

absl::StatusOr<std::unique_ptr<executor::Executor>> MakeExecutor(
    const ServerOptions& options, const std::string& socket_path,
    executor::WorkerLinks* links) {
  if (options.executor == "slurm") return MakeSlurm(options, links);
  return MakeLocal(options, socket_path, links);
}

}  // namespace retort
