#include "server/worker/worker.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/stop_flag.h"

namespace retort::worker {
namespace {

using internal::v1::Assignment;
using internal::v1::Control;
using internal::v1::TaskEnded;

constexpr absl::Duration kSignalPoll = absl::Milliseconds(100);
// After a signal, how long to wait for the server to take note of the end.
constexpr absl::Duration kFarewell = absl::Seconds(5);
// A replica without its server serves nobody, and the next server starts its
// own: it need not outlive more than a hiccup.
constexpr absl::Duration kReplicaLease = absl::Seconds(10);

}  // namespace

Worker::Worker(const LinkOptions& options, absl::Duration grace)
    : grace_(grace), replica_(&link_), link_(options, this) {}

Worker::~Worker() {
  finished_.Notify();
  for (std::thread* watcher : {&signal_watcher_, &lease_watcher_}) {
    if (watcher->joinable()) watcher->join();
  }
}

int Worker::Run() {
  link_.Start();
  signal_watcher_ = std::thread([this] { WatchSignals(); });
  lease_watcher_ = std::thread([this] { WatchLease(); });
  const std::optional<Assignment> assignment = AwaitAssignment();
  if (!assignment.has_value()) {
    RETORT_LOG(error, "ends without an assignment");
    return base::StopRequested() ? kWorkerDone : kWorkerNotAssigned;
  }
  at::set_num_threads(std::max(assignment->threads(), 1));
  RETORT_LOG(info, "assigned {} with {} thread(s)", assignment->subject(),
             at::get_num_threads());
  return assignment->has_spec() ? RunTaskToEnd(*assignment)
                                : RunReplica(*assignment);
}

std::optional<Assignment> Worker::AwaitAssignment() {
  absl::MutexLock lock(&mutex_);
  auto news = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return assignment_.has_value() || control_.stopping();
  };
  // control_ changes without mutex_, so the wait looks up now and then.
  while (!mutex_.AwaitWithTimeout(absl::Condition(&news), kSignalPoll)) {
  }
  return assignment_;
}

int Worker::RunTaskToEnd(const Assignment& assignment) {
  const TaskContext context{assignment, &link_, &control_};
  const TaskEnded ended = RunTask(context);
  // Whoever is to blame says so; the server starts the gang again.
  return PeersLost(ended) ? kWorkerPeersLost : SayEnd(ended);
}

int Worker::RunReplica(const Assignment& assignment) {
  link_.SetLease(kReplicaLease);
  absl::Status status;
  try {
    status = replica_.Load(assignment.model_dir());
    if (status.ok()) replica_.Run();
  } catch (const c10::Error& error) {
    status = absl::InternalError(error.what_without_backtrace());
  } catch (const std::exception& error) {
    status = absl::InternalError(
        absl::StrCat("the model cannot be served: ", error.what()));
  }
  // Said once: whether it is heard or not, a replica that ends is replaced or
  // was to end.
  TaskEnded ended = SucceededEnd();
  if (!status.ok()) {
    RETORT_LOG(error, "{}", std::string(status.message()));
    ended = FailedEnd(status, control_);
  } else if (base::StopRequested()) {
    ended = StoppedEnd(control_.stop_reason(), "");
  }
  link_.End(ended, absl::ZeroDuration());
  link_.Flush(kFarewell);
  return status.ok() ? kWorkerDone : kWorkerFailed;
}

int Worker::SayEnd(const TaskEnded& ended) {
  RETORT_LOG(info, "ends: {}{}",
             TaskEnded::Outcome_Name(ended.outcome()).substr(8),
             ended.reason().empty() ? "" : absl::StrCat(": ", ended.reason()));
  absl::Time give_up = absl::InfiniteFuture();
  while (!link_.End(ended, kSignalPoll)) {
    if (link_.over()) return kWorkerUnheard;
    if (base::StopRequested() && give_up == absl::InfiniteFuture()) {
      give_up = absl::Now() + kFarewell;
    }
    if (absl::Now() >= give_up) return kWorkerDone;
  }
  return kWorkerDone;
}

void Worker::WatchSignals() {
  while (!finished_.WaitForNotificationWithTimeout(kSignalPoll)) {
    if (base::StopRequested()) {
      RETORT_LOG(info, "signal {}: stopping", base::StopSignal());
      control_.Stop(StopReason::kSignal);
      replica_.Stop();
      return;
    }
  }
}

void Worker::WatchLease() {
  absl::Time over_since = absl::InfiniteFuture();
  while (!finished_.WaitForNotificationWithTimeout(kSignalPoll)) {
    // From when this thread saw it on: after a sleep of the machine the task
    // has its grace too, and a server that is there again ends it.
    over_since = link_.lease_over() ? std::min(over_since, absl::Now())
                                    : absl::InfiniteFuture();
    if (absl::Now() - over_since < grace_) continue;
    EndHard(kWorkerStuck,
            absl::StrCat("the lease has been over for ",
                         absl::FormatDuration(grace_),
                         ", and what this process does has not ended"));
  }
}

void Worker::OnAssignment(const Assignment& assignment) {
  absl::MutexLock lock(&mutex_);
  assignment_ = assignment;
}

void Worker::OnControl(const Control& control) {
  RETORT_LOG(
      info, "asked to {}{}", Control::Action_Name(control.action()).substr(7),
      control.reason().empty() ? "" : absl::StrCat(": ", control.reason()));
  switch (control.action()) {
    case Control::ACTION_CHECKPOINT:
      control_.CheckpointNow();
      break;
    case Control::ACTION_PAUSE:
      control_.Stop(StopReason::kPause);
      break;
    case Control::ACTION_CANCEL:
      control_.Stop(StopReason::kCancel);
      replica_.Stop();
      break;
    case Control::ACTION_DRAIN:
      replica_.Drain();
      break;
    default:
      break;
  }
}

void Worker::OnSample(const internal::v1::SampleTask& task) {
  replica_.Enqueue(task);
}

void Worker::OnDetached() { replica_.DropAll(); }

void Worker::OnFenced(const std::string& reason) {
  EndHard(kWorkerFenced, absl::StrCat("not wanted any more (", reason, ")"));
}

void Worker::OnLeaseEnded() {
  control_.Stop(StopReason::kLeaseEnded);
  replica_.Stop();
}

}  // namespace retort::worker
