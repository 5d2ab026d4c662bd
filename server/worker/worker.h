#ifndef RETORT_SERVER_WORKER_WORKER_H_
#define RETORT_SERVER_WORKER_WORKER_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/worker/link.h"
#include "server/worker/replica.h"
#include "server/worker/task.h"

namespace retort::worker {

// Exit codes of the process, for the job's log.
enum WorkerExit {
  kWorkerDone = 0,         // the end was said, or a signal asked for it
  kWorkerFailed = 1,       // a replica could not serve; the reason was said
  kWorkerUsage = 2,        // the command line
  kWorkerNotAssigned = 3,  // nothing to do came within the lease
  kWorkerFenced = 4,       // another incarnation has taken over
  kWorkerUnheard = 5,      // done, but no server took note of it
  // Another rank of the gang has vanished, so that this one could not go on;
  // not the one to blame (executor::kPeersLostExitCode).
  kWorkerPeersLost = 14,
};

// One worker process's life: attach, get the assignment, do the task or serve
// the model, say how it ended. The calling thread of Run() is the one that
// runs LibTorch; the link has threads of its own. A signal (core/base's stop
// flag) makes a task write its checkpoint and say STOPPED.
class Worker : public LinkHandler {
 public:
  explicit Worker(const LinkOptions& options);
  ~Worker() override;

  // Returns the process's exit code.
  int Run();

  void OnAssignment(const internal::v1::Assignment& assignment) override;
  void OnControl(const internal::v1::Control& control) override;
  void OnSample(const internal::v1::SampleTask& task) override;
  void OnDetached() override;
  void OnFenced(const std::string& reason) override;
  void OnLeaseEnded() override;

 private:
  // Waits for the assignment; nothing if a signal or the lease's end came.
  std::optional<internal::v1::Assignment> AwaitAssignment();
  int RunTaskToEnd(const internal::v1::Assignment& assignment);
  int RunReplica(const internal::v1::Assignment& assignment);
  int SayEnd(const internal::v1::TaskEnded& ended);
  // Turns the stop flag, which a signal handler may set but which wakes
  // nobody, into requests.
  void WatchSignals();

  TaskControl control_;
  Replica replica_;

  absl::Mutex mutex_;
  std::optional<internal::v1::Assignment> assignment_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread signal_watcher_;
  // Last, so that its threads have ended before anything they call goes.
  Link link_;
};

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_WORKER_H_
