#ifndef RETORT_SERVER_MAKE_EXECUTOR_H_
#define RETORT_SERVER_MAKE_EXECUTOR_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/executor/executor.h"
#include "server/executor/worker_links.h"
#include "server/options.h"

namespace retort {

// The executor that the options name. Workers of this machine dial
// `socket_path`, those of Slurm options.worker_address. InvalidArgument if
// Slurm's commands are not there.
absl::StatusOr<std::unique_ptr<executor::Executor>> MakeExecutor(
    const ServerOptions& options, const std::string& socket_path,
    executor::WorkerLinks* links);

}  // namespace retort

#endif  // RETORT_SERVER_MAKE_EXECUTOR_H_
