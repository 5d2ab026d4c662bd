#ifndef RETORT_SERVER_EXECUTOR_LOCAL_EXECUTOR_H_
#define RETORT_SERVER_EXECUTOR_LOCAL_EXECUTOR_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/executor/executor.h"
#include "server/executor/gang_processes.h"
#include "server/executor/process.h"
#include "server/executor/worker_links.h"

namespace retort::executor {

struct LocalExecutorOptions {
  std::string worker_binary;
  // The unix socket that workers dial; a path.
  std::string socket_path;
  std::string log_level = "info";
  // What this machine has for jobs. GPUs are those of CUDA_VISIBLE_DEVICES, if
  // it is set, else the first ones.
  int cpus = 1;
  int gpus = 0;
  // How long workers go on without a server, then end. Zero: their default.
  absl::Duration lease = absl::ZeroDuration();
};

// Runs workers as processes of this machine: each a process group of its own,
// those of a gang in a control group of their own where that is permitted
// (cgroup.h), their output in the gang's log file, their secret in their
// environment (never in argv, which everyone can read). Workers outlive this
// object: a server that dies, or stops without ending them, leaves them running
// for the next one to Adopt; if none comes they end after their lease.
//
// One thread waits for all processes to end. Thread-safe.
class LocalExecutor : public Executor {
 public:
  // `links` outlives the executor.
  LocalExecutor(const LocalExecutorOptions& options, WorkerLinks* links);
  ~LocalExecutor() override;

  std::string name() const override { return "local"; }
  absl::StatusOr<std::string> Start(const GangSpec& spec) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::string> Adopt(const std::string& subject, int64_t epoch,
                                    const std::string& handle,
                                    const std::string& token_sha256) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Terminate(const std::string& subject, int64_t epoch) override;
  void Kill(const std::string& subject, int64_t epoch) override;
  std::vector<NodeInfo> Nodes() override;
  // The destructor does the same.
  void Shutdown() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Incarnation = std::pair<std::string, int64_t>;
  struct Rank {
    ProcessId process;
    int pidfd = -1;
    bool gone = false;
  };
  struct Gang {
    explicit Gang(int count) : ranks(count), end(count) {}
    std::vector<Rank> ranks;
    GangEnd end;
    bool ours = true;  // started by this server, so its end can be learnt
    bool killed = false;
    // When the others are killed because one ended badly.
    absl::Time kill_at = absl::InfiniteFuture();
    std::string cgroup;                // empty: none
    std::vector<std::string> devices;  // by rank, if they have any
  };
  struct Ended {
    Incarnation incarnation;
    ExitStatus exit;
  };

  absl::Status SpawnRanks(const GangSpec& spec, int log, Gang* gang);
  absl::Status TakeDevices(const GangSpec& spec, Gang* gang)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Follow(const Incarnation& incarnation, Gang gang)
      ABSL_LOCKS_EXCLUDED(mutex_);
  static void Signal(const Gang& gang, int signal);
  static void KillAll(Gang* gang);
  void Reap() ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<Ended> TakeEnded() ABSL_LOCKS_EXCLUDED(mutex_);
  // Notes which ranks are gone; true if all are.
  static bool NoteGone(Gang* gang);
  void RemoveCgroups() ABSL_LOCKS_EXCLUDED(mutex_);
  void WaitForNews() ABSL_LOCKS_EXCLUDED(mutex_);
  void Wake();

  const LocalExecutorOptions options_;
  WorkerLinks* const links_;
  const std::string node_;
  const std::string cgroup_parent_;  // empty: none to be had
  const std::vector<std::string> devices_;
  int wake_fd_ = -1;

  // One gang starts at a time, so that two do not take the same device.
  absl::Mutex start_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  absl::Mutex mutex_;
  std::map<Incarnation, Gang> gangs_ ABSL_GUARDED_BY(mutex_);
  // Of gangs that have ended; a killed process may stay in one for a moment.
  std::vector<std::string> old_cgroups_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread reaper_;  // last: it uses all of the above
};

}  // namespace retort::executor

#endif  // RETORT_SERVER_EXECUTOR_LOCAL_EXECUTOR_H_
