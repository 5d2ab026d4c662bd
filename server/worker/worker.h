#ifndef RETORT_SERVER_WORKER_WORKER_H_
#define RETORT_SERVER_WORKER_WORKER_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "server/worker/end_hard.h"
#include "server/worker/link.h"
#include "server/worker/replica.h"
#include "server/worker/task.h"

namespace retort::worker {

// One worker process's life: attach, get the assignment, do the task or serve
// the model, say how it ended. The calling thread of Run() is the one that
// runs LibTorch; the link has threads of its own. A signal (core/base's stop
// flag) makes a task write its checkpoint and say STOPPED.
//
// When the lease is over the task is to write its checkpoint and end. It may be
// unable to, in a collective whose other ranks stand still or on a file system
// that hangs, and nobody is there who would kill it: after `grace` the process
// ends hard, as kWorkerStuck.
class Worker : public LinkHandler {
 public:
  Worker(const LinkOptions& options, absl::Duration grace);
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
  // Ends the process when its lease has been over for longer than the grace.
  // Relies on no other thread, and logs nothing itself: they may all hang.
  void WatchLease();

  const absl::Duration grace_;

  TaskControl control_;
  Replica replica_;

  absl::Mutex mutex_;
  std::optional<internal::v1::Assignment> assignment_ ABSL_GUARDED_BY(mutex_);
  absl::Notification finished_;
  std::thread signal_watcher_;
  std::thread lease_watcher_;
  // Last, so that its threads have ended before anything they call goes.
  Link link_;
};

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_WORKER_H_
