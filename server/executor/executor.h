#ifndef RETORT_SERVER_EXECUTOR_EXECUTOR_H_
#define RETORT_SERVER_EXECUTOR_EXECUTOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "retort/v1/spec.pb.h"

namespace retort::executor {

// Exit code of a rank that found others of its gang gone: it is not the one to
// blame. The same as worker::kWorkerPeersLost, which this folder cannot see.
inline constexpr int kPeersLostExitCode = 14;

// The processes of one incarnation of a job or deployment: they start
// together and end together. A replica is a gang of one.
struct GangSpec {
  // Full resource name of the job or deployment, and its incarnation. The two
  // together name the gang; a replica of a deployment has an epoch of its own.
  std::string subject;
  int64_t epoch = 0;
  std::string role;  // "task" or "replica", for people and metrics
  int ranks = 1;
  int threads = 0;  // per rank; 0: the worker's own default
  int gpus = 0;     // per rank, 0 or 1
  // At most so many ranks on a node; 0: as many as fit.
  int max_ranks_per_node = 0;
  // The executor may end the gang after so long. Infinite: no limit.
  absl::Duration time_limit = absl::InfiniteDuration();
  v1::SlurmSpec slurm;
  // stdout and stderr of all ranks are appended to this file; its folder must
  // exist, on every node.
  std::string log_path;
  // Secret by which the ranks prove that they are of this incarnation; make it
  // with NewToken(). Store Sha256Hex(token) before Start() to be able to
  // re-admit them after a restart of the server.
  std::string token;
};

// How a gang, or one rank of it, ended.
struct ExitStatus {
  // False if it is gone and nobody could learn how: a process adopted from an
  // earlier server, whose parent alone would know.
  bool known = true;
  int code = 0;    // exit code, if signal is 0
  int signal = 0;  // signal that killed it
  // The rank that went first and took the others with it; -1: not one rank's
  // doing, or a gang of one.
  int rank = -1;
  std::string node;  // of that rank, if known
  // What the executor knows beside: "Slurm: NODE_FAIL (node n2)".
  std::string words;
  // Nobody's fault but the machine's or the operator's (node lost, preempted,
  // requeued by Slurm), or it was taken out of the executor's queue before
  // anything of it ran: the job goes back to the queue and no try is counted.
  bool lost_node = false;
  // Ended by the executor's time limit, or cancelled there (scancel).
  bool time_limit = false;
  bool cancelled = false;
  // Why it never started, if it did not: as Start() returns it.
  absl::Status not_started;
  // "rank 1 on n2: killed by signal 9 (Killed)", "exit code 3", "gone".
  std::string ToString() const;
};

// Where a gang is. An executor with a queue of its own (Slurm) tells it with
// WorkerListener::OnPlacement; one without places at once and tells nothing.
struct GangPlacement {
  std::string handle;  // if Start() could not tell it yet
  bool waiting = false;
  std::string reason;              // why it waits: "Slurm: Resources"
  std::vector<std::string> nodes;  // of a gang that does not wait
};

// A machine as the scheduler counts it.
struct NodeInfo {
  std::string name;
  int cpus = 0;
  int gpus = 0;
  bool usable = true;  // false: drained or down
  bool lost = false;   // down, or it does not answer
  std::string reason;  // why not: "Slurm: DOWN* (Not responding)"
};

// Returns a fresh secret: 256 random bits as hex.
std::string NewToken();

// Starts, follows and ends gangs of worker processes somewhere. Ends are told
// to the WorkerListener of the subject's collection (worker_links.h), from a
// thread of the executor's, exactly once per started or adopted gang, when all
// of its processes are gone: if a rank ends badly the executor ends the others.
// Implementations are thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;

  // "local", "slurm".
  virtual std::string name() const = 0;

  // Gangs may wait in a queue of its own after Start(), which OnPlacement
  // tells.
  virtual bool has_queue() const { return false; }

  // Starts a gang, all of it or nothing, and returns its handle: what Adopt()
  // finds it by, after a restart of the server too. The workers attach by
  // themselves; OnAttached tells. Unavailable or ResourceExhausted if it cannot
  // be started now, InvalidArgument if never; the message says why. One with a
  // queue takes its time: it returns no handle, which OnPlacement tells later,
  // and OnExited tells what went wrong (not_started).
  virtual absl::StatusOr<std::string> Start(const GangSpec& spec) = 0;

  // Follows a gang that an earlier server started; its ranks may attach with
  // the token of this hash. An empty handle (the server fell before it could be
  // noted) means: look for it. NotFound if none of it is left (then OnExited is
  // not called, and what is left of it has been ended). Returns the handle.
  // FailedPrecondition if the handle is of another kind of executor.
  virtual absl::StatusOr<std::string> Adopt(
      const std::string& subject, int64_t epoch, const std::string& handle,
      const std::string& token_sha256) = 0;

  // Ends a gang and all of its process groups: Terminate asks (SIGTERM), Kill
  // does (SIGKILL). OnExited follows. Nothing happens if there is no such gang.
  virtual void Terminate(const std::string& subject, int64_t epoch) = 0;
  virtual void Kill(const std::string& subject, int64_t epoch) = 0;

  // The machines there are, as last known; does not block for long.
  virtual std::vector<NodeInfo> Nodes() = 0;

  // What people call a gang with this handle: "slurm 1234"; empty for local.
  virtual std::string DisplayId(const std::string&) const { return ""; }

  // Ends the following of gangs, not the gangs: after it returns no OnExited
  // comes any more.
  virtual void Shutdown() = 0;
};

}  // namespace retort::executor

#endif  // RETORT_SERVER_EXECUTOR_EXECUTOR_H_
