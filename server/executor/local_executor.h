#ifndef RETORT_SERVER_EXECUTOR_LOCAL_EXECUTOR_H_
#define RETORT_SERVER_EXECUTOR_LOCAL_EXECUTOR_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/executor/executor.h"
#include "server/executor/worker_links.h"

namespace retort::executor {

struct LocalExecutorOptions {
  std::string worker_binary;
  // The unix socket that workers dial; a path.
  std::string socket_path;
  std::string log_level = "info";
};

// Runs workers as processes of this machine: each a group of its own, its
// output in its log file, its secret in its environment (never in argv, which
// everyone can read). Workers outlive this object: a server that dies, or
// stops without ending them, leaves them running for the next one to Adopt.
//
// One thread waits for all processes to end. Thread-safe.
class LocalExecutor : public Executor {
 public:
  // `links` outlives the executor.
  LocalExecutor(const LocalExecutorOptions& options, WorkerLinks* links);
  ~LocalExecutor() override;

  std::string name() const override { return "local"; }
  absl::StatusOr<ProcessId> Start(const ProcessSpec& spec) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Adopt(const std::string& subject, int64_t epoch,
                     const ProcessId& process,
                     const std::string& token_sha256) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Terminate(const std::string& subject, int64_t epoch) override;
  void Kill(const std::string& subject, int64_t epoch) override;

  // Ends the following of processes, not the processes: after it returns no
  // OnExited comes any more. The destructor does the same.
  void Shutdown() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Incarnation = std::pair<std::string, int64_t>;
  struct Child {
    ProcessId process;
    bool ours = true;  // started by this server, so its end can be learnt
    int pidfd = -1;
  };
  struct End {
    Incarnation incarnation;
    ExitStatus exit;
  };

  void Signal(const Incarnation& incarnation, int signal)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Follow(const Incarnation& incarnation, const Child& child)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Reap() ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<End> TakeEnded() ABSL_LOCKS_EXCLUDED(mutex_);
  void WaitForNews() ABSL_LOCKS_EXCLUDED(mutex_);
  void Wake();

  const LocalExecutorOptions options_;
  WorkerLinks* const links_;
  int wake_fd_ = -1;

  absl::Mutex mutex_;
  std::map<Incarnation, Child> children_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread reaper_;  // last: it uses all of the above
};

}  // namespace retort::executor

#endif  // RETORT_SERVER_EXECUTOR_LOCAL_EXECUTOR_H_
