#ifndef RETORT_SERVER_EXECUTOR_SLURM_OUTPUT_H_
#define RETORT_SERVER_EXECUTOR_SLURM_OUTPUT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/executor/executor.h"

// Reads what Slurm's commands print (22.05 and later), and says what it means.
// Pure functions of the text.
namespace retort::executor::slurm {

// One line of `squeue`: what changes while a job lives.
struct QueueRow {
  int64_t id = 0;
  std::string state;   // "RUNNING"
  std::string reason;  // why it waits: "Resources"
  std::string nodes;   // "n[1-2]"; empty while it waits
  std::string name;

  bool operator==(const QueueRow& other) const {
    return id == other.id && state == other.state && reason == other.reason &&
           nodes == other.nodes && name == other.name;
  }
};

// The argument that makes squeue print what ParseQueue reads.
extern const char kQueueFormat[];

// Rows that are not of single jobs (parts of job arrays) are left out.
std::vector<QueueRow> ParseQueue(absl::string_view text);

// One job as `scontrol show job` or `sacct` tells.
struct JobInfo {
  std::string state;
  std::string reason;  // empty for none
  int code = 0;        // of the batch script
  int signal = 0;
  int restarts = 0;      // how often Slurm has started it anew
  bool placed = true;    // false: it has no nodes, and never had any
  std::string log_path;  // empty if not told
  std::string by;        // who cancelled it, if known: "uid 1001"
};

// Reads a line of `scontrol show job --oneliner`. InvalidArgument if it is
// none.
absl::StatusOr<JobInfo> ParseJob(absl::string_view line);

// Reads `sacct -X -n -P --format=State,ExitCode,NodeList`; nullopt if it has no
// job.
std::optional<JobInfo> ParseAccount(absl::string_view text);

// Reads `scontrol show node --oneliner`.
std::vector<NodeInfo> ParseNodes(absl::string_view text);

// Reads `sbatch --parsable`. Internal if there is no number.
absl::StatusOr<int64_t> ParseSubmitted(absl::string_view text);

// Why sbatch refused: Unavailable if Slurm could not be asked,
// ResourceExhausted if it takes no more for now, InvalidArgument if what was
// asked for is wrong, each with Slurm's words.
absl::Status SubmitError(absl::string_view stderr_text);

// What a state means for the gang.
enum class Phase {
  kWaiting,   // in Slurm's queue, or its nodes boot
  kRunning,   // has processes, or may have some
  kRequeued,  // Slurm has put it back into its queue
  kEnded,
};
Phase PhaseOf(const JobInfo& job);

// The rank that ended badly first, as srun said in the gang's log; nullopt if
// it said nothing. One that only found others gone (kPeersLostExitCode) is
// named if there is no other. Everything before the last line of this job's
// script (kLogMark and the id) is left out.
extern const char kLogMark[];
struct RankFailure {
  int rank = 0;
  std::string node;
  int code = 0;
  int signal = 0;
};
std::optional<RankFailure> FirstFailure(absl::string_view log, int64_t id);

// What we asked Slurm for, with success.
struct Asked {
  // To take it out of the queue, which does nothing to a job that has started.
  bool withdraw = false;
  bool kill = false;
};

// How a gang whose job has ended, or was requeued, has ended. `failure` is
// what its log says; `lost` are nodes it had and are not usable any more.
ExitStatus ExitOf(const JobInfo& job, const std::optional<RankFailure>& failure,
                  const std::vector<NodeInfo>& lost, const Asked& asked);

}  // namespace retort::executor::slurm

#endif  // RETORT_SERVER_EXECUTOR_SLURM_OUTPUT_H_
