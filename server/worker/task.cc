#include "server/worker/task.h"

#include <exception>
#include <new>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/run_dir.h"
#include "server/worker/estimate_task.h"
#include "server/worker/evaluate_task.h"
#include "server/worker/train_task.h"

namespace retort::worker {

using internal::v1::TaskEnded;

namespace {

absl::StatusOr<TaskEnded> RunTaskOfSpec(const TaskContext& context) {
  const v1::JobSpec& spec = context.assignment.spec();
  switch (spec.task_case()) {
    case v1::JobSpec::kTrainTeacher:
      return TrainTeacher(context, spec.train_teacher());
    case v1::JobSpec::kDistill:
      return Distill(context, spec.distill());
    case v1::JobSpec::kEstimatePreconditioning:
      return EstimatePreconditioning(context, spec.estimate_preconditioning());
    case v1::JobSpec::kEvaluate:
      return Evaluate(context, spec.evaluate());
    case v1::JobSpec::TASK_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "the spec names no task that this worker knows; use retortd and "
      "retort-worker of the same version");
}

}  // namespace

void TaskControl::Stop(StopReason reason) {
  StopReason none = StopReason::kNone;
  if (reason == StopReason::kCancel) {
    reason_ = reason;
  } else {
    reason_.compare_exchange_strong(none, reason);
  }
  // A cancelled job writes its checkpoint too, so that nothing is lost to a
  // mistaken cancel.
  flags_.pause = true;
}

absl::StatusOr<std::string> TaskContext::ModelDir(
    const std::string& name) const {
  const auto found = assignment.model_dirs().find(name);
  if (found != assignment.model_dirs().end()) return found->second;
  return absl::InvalidArgumentError(
      absl::StrCat("the server gave no folder for model '", name, "'"));
}

bool TaskContext::StoppingAt(const char* activity) const {
  outbox->SetActivity(activity, /*waiting=*/false);
  return control->stopping();
}

std::string TaskContext::CacheDir() const {
  // <root>/jobs/<id> is the job's folder.
  const std::string root =
      base::ParentDir(base::ParentDir(assignment.job_dir()));
  return base::DataDir(root).cache_dir();
}

TaskEnded StoppedEnd(StopReason reason, absl::string_view where) {
  TaskEnded ended;
  ended.set_outcome(TaskEnded::OUTCOME_STOPPED);
  std::string text = "stopped";
  switch (reason) {
    case StopReason::kCancel:
      ended.set_outcome(TaskEnded::OUTCOME_CANCELLED);
      text = "cancelled";
      break;
    case StopReason::kPause:
      text = "paused";
      break;
    case StopReason::kSignal:
      text = "stopped by a signal";
      break;
    case StopReason::kLeaseEnded:
      text = "stopped because the server was away too long";
      break;
    case StopReason::kNone:
      break;
  }
  ended.set_reason(where.empty() ? text : absl::StrCat(text, " ", where));
  return ended;
}

TaskEnded FailedEnd(const absl::Status& status, const TaskControl& control) {
  if (absl::IsCancelled(status) && control.stopping()) {
    return StoppedEnd(control.stop_reason(), "");
  }
  TaskEnded ended;
  ended.set_outcome(TaskEnded::OUTCOME_FAILED);
  ended.set_reason(std::string(status.message()));
  return ended;
}

absl::Status WriteWhenThereIsRoom(const TaskContext& context,
                                  const std::function<absl::Status()>& write,
                                  absl::Duration interval) {
  // Waiting for room is no standstill, however long; a write that hangs is.
  constexpr char kActivity[] = "writing the result";
  context.outbox->SetActivity(kActivity, /*waiting=*/false);
  absl::Status status = write();
  if (absl::IsResourceExhausted(status)) {
    context.outbox->SendWarning(absl::StrCat(
        status.message(), "; it is written as soon as there is room"));
  }
  while (absl::IsResourceExhausted(status)) {
    const absl::Time again = absl::Now() + interval;
    while (absl::Now() < again) {
      if (context.StoppingAt(kActivity)) {
        return absl::CancelledError(status.message());
      }
      absl::SleepFor(absl::Milliseconds(100));
    }
    status = write();
  }
  return status;
}

TaskEnded DeferredEnd(const absl::Status& status) {
  TaskEnded ended;
  ended.set_outcome(TaskEnded::OUTCOME_DEFERRED);
  ended.set_reason(std::string(status.message()));
  return ended;
}

bool PeersLost(const TaskEnded& ended) {
  return ended.outcome() == TaskEnded::OUTCOME_UNSPECIFIED;
}

TaskEnded SucceededEnd() {
  TaskEnded ended;
  ended.set_outcome(TaskEnded::OUTCOME_SUCCEEDED);
  return ended;
}

TaskEnded RunTask(const TaskContext& context) {
  absl::StatusOr<TaskEnded> ended;
  try {
    ended = RunTaskOfSpec(context);
  } catch (const c10::Error& error) {
    ended = absl::InternalError(error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    ended = absl::ResourceExhaustedError(
        "out of memory; use a smaller batch_size, or a machine with more");
  } catch (const std::length_error& error) {
    ended = absl::InternalError(
        absl::StrCat("the task cannot be done: ", error.what(),
                     "; look for a number in the spec that is far too large"));
  } catch (const std::exception& error) {
    ended = absl::InternalError(absl::StrCat(
        "the task cannot be done: ", error.what(),
        "; what it did last is in its log (retort jobs logs). If no file of "
        "its models is damaged, this is a defect of retort-worker"));
  }
  if (ended.ok()) return *ended;
  RETORT_LOG(error, "{}", std::string(ended.status().message()));
  if (absl::IsUnavailable(ended.status()) &&
      context.assignment.world_size() > 1) {
    return TaskEnded();
  }
  return FailedEnd(ended.status(), *context.control);
}

}  // namespace retort::worker
