#ifndef RETORT_SERVER_WORKER_TASK_H_
#define RETORT_SERVER_WORKER_TASK_H_

#include <atomic>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/train/progress.h"
#include "retort/internal/v1/worker.pb.h"
#include "server/worker/outbox.h"
#include "server/worker/rehearsal.h"

// Tasks: the work of jobs. They run on the one thread that uses LibTorch.
namespace retort::worker {

// Why a task is to end before it is done.
enum class StopReason { kNone, kPause, kCancel, kSignal, kLeaseEnded };

// What others want of a task. Set from any thread; lock-free.
class TaskControl {
 public:
  // Makes the task write a checkpoint, where it has any, and end. A cancel
  // outweighs what was asked before it.
  void Stop(StopReason reason);
  void CheckpointNow() { flags_.checkpoint_now = true; }

  StopReason stop_reason() const { return reason_; }
  bool stopping() const { return reason_ != StopReason::kNone; }
  train::ControlFlags* flags() { return &flags_; }

 private:
  std::atomic<StopReason> reason_{StopReason::kNone};
  train::ControlFlags flags_;
};

struct TaskContext {
  internal::v1::Assignment assignment;
  Outbox* outbox = nullptr;
  TaskControl* control = nullptr;
  Rehearsal* rehearsal = nullptr;  // null: the task is to be run

  // The folder of a model that the spec names; InvalidArgument if the server
  // did not send it.
  absl::StatusOr<std::string> ModelDir(const std::string& name) const;

  // For what is polled in long work: says that the task is at `activity`, as
  // Outbox::SetActivity() does, which makes the polling a sign of life, and
  // returns whether it is to stop.
  bool StoppingAt(const char* activity) const;

  // Where what many jobs need is kept, in the service's data folder.
  std::string CacheDir() const;
};

// Does what the assignment's spec says; a training with a rehearsal ends with
// SUCCEEDED and no model. Never fails itself: what went wrong is
// in the result. One without an outcome is none: PeersLost().
internal::v1::TaskEnded RunTask(const TaskContext& context);

// Whether the task broke off because another rank of its gang is gone: no end
// that anybody is to be told.
bool PeersLost(const internal::v1::TaskEnded& ended);

// The end of a task that was stopped: CANCELLED, or STOPPED for all other
// reasons. `where` completes "stopped by a signal ...": "at step 40".
internal::v1::TaskEnded StoppedEnd(StopReason reason, absl::string_view where);

// FAILED with the status's message; or as above, if the task was to stop and
// the status is Cancelled.
internal::v1::TaskEnded FailedEnd(const absl::Status& status,
                                  const TaskControl& control);

// Calls `write` until it does not lack room on the disk any more: what took
// hours is in memory, and people can make room. The first lack is a warning.
// Cancelled if the task is to stop meanwhile.
absl::Status WriteWhenThereIsRoom(const TaskContext& context,
                                  const std::function<absl::Status()>& write,
                                  absl::Duration interval = absl::Seconds(5));

// Room on the disk is missing: the task is to run again, from its checkpoints.
internal::v1::TaskEnded DeferredEnd(const absl::Status& status);

internal::v1::TaskEnded SucceededEnd();

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_TASK_H_
