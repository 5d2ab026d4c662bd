#ifndef RETORT_SERVER_EXECUTOR_SLURM_COMMANDS_H_
#define RETORT_SERVER_EXECUTOR_SLURM_COMMANDS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/executor/slurm_output.h"
#include "server/executor/subprocess.h"

namespace retort::executor::slurm {

// Runs a program of Slurm's (argv[0] is its name, not a path) with this
// standard input.
using CommandRunner = std::function<absl::StatusOr<SubprocessResult>(
    const std::vector<std::string>& argv, const std::string& stdin_text)>;

// Finds the folder of sbatch: `folder` if it is not empty, else along PATH.
// InvalidArgument, with the remedy, if it is not there.
absl::StatusOr<std::string> FindPrograms(const std::string& folder);

// Runs the programs of a folder, each for half a minute at most; sbatch, which
// the scheduler waits for, for ten seconds.
CommandRunner RunFrom(const std::string& folder);

// Slurm by its own commands, of this user. Each call blocks while a command
// runs; Unavailable if Slurm cannot be asked. Thread-safe.
class Commands {
 public:
  explicit Commands(CommandRunner run) : run_(std::move(run)) {}

  // Returns the job's id. Errors: SubmitError(). After Unavailable nobody knows
  // whether Slurm has taken the job.
  absl::StatusOr<int64_t> Submit(const std::vector<std::string>& arguments,
                                 const std::string& script) const;
  // This user's jobs, those that ended a few minutes ago included.
  absl::StatusOr<std::vector<QueueRow>> Queue() const;
  // NotFound if Slurm knows the job no more.
  absl::StatusOr<JobInfo> Job(int64_t id) const;
  // What accounting has of a job, where there is accounting.
  std::optional<JobInfo> Account(int64_t id) const;
  absl::StatusOr<std::vector<NodeInfo>> Nodes() const;
  // "n[1-2]" -> n1, n2; the expression itself if Slurm cannot be asked.
  std::vector<std::string> ExpandNodes(const std::string& nodes) const;

  // Takes a job that has not started out of the queue.
  absl::Status CancelWaiting(int64_t id) const;
  // SIGTERM to all ranks. FailedPrecondition if there are none yet.
  absl::Status Terminate(int64_t id) const;
  // SIGKILL to all ranks, and the end of the job.
  absl::Status Kill(int64_t id) const;

 private:
  // stdout of a command that must succeed.
  absl::StatusOr<std::string> Run(const std::vector<std::string>& argv) const;

  const CommandRunner run_;
};

}  // namespace retort::executor::slurm

#endif  // RETORT_SERVER_EXECUTOR_SLURM_COMMANDS_H_
