#ifndef RETORT_SERVER_EXECUTOR_SLURM_SCRIPT_H_
#define RETORT_SERVER_EXECUTOR_SLURM_SCRIPT_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/executor/executor.h"

// What Slurm is told of a gang. Pure functions.
namespace retort::executor::slurm {

struct ScriptOptions {
  // Tells the jobs of one service from those of another of the same user.
  std::string instance;
  // Paths and addresses as the nodes see them.
  std::string worker_binary;
  std::string server;  // gRPC target that workers dial: "head:7435"
  std::string log_level = "info";
  // How long workers go on without a server, then end. Zero: their default.
  absl::Duration lease = absl::ZeroDuration();
  // GPUs of the largest node: how many ranks with a GPU share one at most.
  int gpus_per_node = 0;
};

// The job's name, by which a gang is found: `squeue --name`.
std::string JobName(const std::string& instance, const std::string& subject,
                    int64_t epoch);

// Arguments of sbatch, after the program's own name.
std::vector<std::string> SubmitArguments(const GangSpec& spec,
                                         const ScriptOptions& options);

// The batch script, for sbatch's standard input. It holds the gang's secret:
// Slurm shows a script to nobody but its owner and Slurm's administrators,
// where a command line would be everyone's to read.
//
// It runs one srun, one task a rank, which ends all if one ends badly. Started
// a second time (a requeue, by Slurm or an operator) it ends at once: the
// server begins a new incarnation then, and none may run twice.
std::string BatchScript(const GangSpec& spec, const ScriptOptions& options);

// `text` as one word of a shell's.
std::string ShellWord(const std::string& text);

}  // namespace retort::executor::slurm

#endif  // RETORT_SERVER_EXECUTOR_SLURM_SCRIPT_H_
