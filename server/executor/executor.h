#ifndef RETORT_SERVER_EXECUTOR_EXECUTOR_H_
#define RETORT_SERVER_EXECUTOR_EXECUTOR_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace retort::executor {

// What one worker process is for.
struct ProcessSpec {
  // Full resource name of the job or deployment, and its incarnation. The two
  // together name the process; a replica of a deployment has an epoch of its
  // own.
  std::string subject;
  int64_t epoch = 0;
  std::string role;  // "task" or "replica", for people and metrics
  int threads = 0;   // 0: the worker's own default
  // stdout and stderr are appended to this file; its folder must exist.
  std::string log_path;
  // Secret by which the worker proves that it is this incarnation; make it
  // with NewToken(). Store Sha256Hex(token) before Start() to be able to
  // re-admit the worker after a restart of the server.
  std::string token;
};

// A process as the operating system knows it. `start_ticks` tells a process
// from a later one with the same pid.
struct ProcessId {
  int64_t pid = 0;
  int64_t start_ticks = 0;
};

// How a process ended.
struct ExitStatus {
  // False for a process adopted from an earlier server: it is gone, but only
  // its parent could have learnt how.
  bool known = true;
  int code = 0;    // exit code, if signal is 0
  int signal = 0;  // signal that killed it
  // "exit code 3", "killed by signal 9 (Killed)", "gone".
  std::string ToString() const;
};

// Returns a fresh secret: 256 random bits as hex.
std::string NewToken();

// Starts, follows and ends worker processes somewhere. Ends are told to the
// WorkerListener of the subject's collection (worker_links.h), from a thread
// of the executor's, exactly once per started or adopted process.
// Implementations are thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;

  // "local", "slurm".
  virtual std::string name() const = 0;

  // Starts a worker. It attaches by itself; OnAttached tells. Unavailable or
  // ResourceExhausted if the process cannot be started; the message says why.
  virtual absl::StatusOr<ProcessId> Start(const ProcessSpec& spec) = 0;

  // Follows a process that an earlier server started. NotFound if it is gone
  // (then OnExited is not called). `token_sha256` re-admits it.
  virtual absl::Status Adopt(const std::string& subject, int64_t epoch,
                             const ProcessId& process,
                             const std::string& token_sha256) = 0;

  // Ends a process and all of its group: SIGTERM asks, SIGKILL does. OnExited
  // follows. Does nothing if there is no such process.
  virtual void Terminate(const std::string& subject, int64_t epoch) = 0;
  virtual void Kill(const std::string& subject, int64_t epoch) = 0;
};

}  // namespace retort::executor

#endif  // RETORT_SERVER_EXECUTOR_EXECUTOR_H_
