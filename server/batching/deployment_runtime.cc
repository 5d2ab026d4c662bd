#include "server/batching/deployment_runtime.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/base/durations.h"
#include "server/base/error.h"

namespace retort::batching {
namespace {

constexpr absl::Duration kStartingRetry = absl::Seconds(1);
constexpr absl::Duration kShortestRetry = absl::Milliseconds(100);
constexpr absl::Duration kLongestRetry = absl::Minutes(1);
// Weight of the newest answer in the moving average.
constexpr double kNewest = 0.2;

internal::v1::AttachResponse ControlMessage(
    internal::v1::Control::Action action, const std::string& reason) {
  internal::v1::AttachResponse response;
  response.mutable_control()->set_action(action);
  response.mutable_control()->set_reason(reason);
  return response;
}

internal::v1::AttachResponse TaskMessage(const SampleEntry& entry,
                                         absl::Time now) {
  internal::v1::AttachResponse response;
  internal::v1::SampleTask* task = response.mutable_sample();
  task->set_id(entry.id);
  *task->mutable_request() = entry.request;
  if (entry.deadline != absl::InfiniteFuture()) {
    task->set_timeout_ms(
        std::max<int64_t>(1, absl::ToInt64Milliseconds(entry.deadline - now)));
  }
  return response;
}

internal::v1::AttachResponse CancelMessage(int64_t id) {
  internal::v1::AttachResponse response;
  response.mutable_sample()->set_id(id);
  response.mutable_sample()->set_cancel(true);
  return response;
}

v1::ErrorReason ReasonOfWorker(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return v1::ERROR_REASON_INVALID_ARGUMENT;
    case absl::StatusCode::kDeadlineExceeded:
      return v1::ERROR_REASON_DEADLINE_EXCEEDED;
    default:
      return v1::ERROR_REASON_WORKER_FAILED;
  }
}

}  // namespace

DeploymentRuntime::DeploymentRuntime(const v1::Deployment& config,
                                     const ServedModel& model,
                                     const ReplicaOptions& options,
                                     const QueueLimits& limits)
    : config_(config),
      model_(model),
      options_(options),
      replicas_(static_cast<size_t>(std::max(1, config.replicas()))),
      queue_(limits) {}

void DeploymentRuntime::Start(absl::Time now, Actions* actions) {
  if (finished_) return;
  for (Replica& replica : replicas_) {
    if (replica.state == ReplicaState::kWaiting) Launch(&replica, now, actions);
  }
}

void DeploymentRuntime::Fail(const std::string& cause) {
  for (Replica& replica : replicas_) {
    replica.state = ReplicaState::kFailed;
    replica.last_error = cause;
  }
}

Replica* DeploymentRuntime::Find(int64_t epoch) {
  for (Replica& replica : replicas_) {
    if (replica.epoch == epoch && epoch != 0) return &replica;
  }
  return nullptr;
}

void DeploymentRuntime::Launch(Replica* replica, absl::Time now,
                               Actions* actions) {
  // Grows over restarts of the server too, without being stored.
  last_epoch_ = std::max(last_epoch_ + 1, absl::ToUnixMicros(now));
  replica->epoch = last_epoch_;
  replica->state = ReplicaState::kStarting;
  replica->since = now;
  replica->killed = false;
  replica->last_words.clear();
  replica->ready_at = absl::InfinitePast();
  replica->streams = 0;
  actions->starts.push_back(replica->epoch);
}

void DeploymentRuntime::OnAttached(
    int64_t epoch, std::shared_ptr<executor::WorkerSession> session,
    absl::Time now, Actions* actions) {
  Replica* replica = finished_ ? nullptr : Find(epoch);
  if (replica == nullptr) {
    actions->messages.push_back(
        {std::move(session),
         ControlMessage(internal::v1::Control::ACTION_FENCED,
                        "this replica is not wanted any more")});
    return;
  }
  // Ids that were sent through an earlier stream mean nothing in this one.
  LoseRequest(replica, actions);
  ++replica->streams;
  replica->session = std::move(session);
  replica->state = ReplicaState::kStarting;
  replica->since = now;
  internal::v1::AttachResponse response;
  internal::v1::Assignment* assignment = response.mutable_assignment();
  assignment->set_subject(config_.name());
  assignment->set_epoch(epoch);
  assignment->set_model_dir(model_.dir);
  assignment->set_threads(config_.cpu_threads());
  actions->messages.push_back({replica->session, std::move(response)});
  Dispatch(now, actions);
}

void DeploymentRuntime::OnMessage(int64_t epoch,
                                  internal::v1::AttachRequest&& message,
                                  absl::Time now, Actions* actions) {
  Replica* replica = Find(epoch);
  if (replica == nullptr || finished_) return;
  switch (message.message_case()) {
    case internal::v1::AttachRequest::kReady:
      OnReady(replica, now);
      break;
    case internal::v1::AttachRequest::kSample:
      OnAnswer(replica, message.mutable_sample(), now, actions);
      break;
    case internal::v1::AttachRequest::kEnded:
      replica->last_words = message.ended().reason();
      break;
    default:
      break;
  }
  Dispatch(now, actions);
}

void DeploymentRuntime::OnReady(Replica* replica, absl::Time now) {
  if (replica->killed || replica->session == nullptr) return;
  replica->state = ReplicaState::kReady;
  replica->since = now;
  replica->ready_at = std::max(replica->ready_at, now);
  ever_ready_ = true;
}

void DeploymentRuntime::OnDetached(int64_t epoch, absl::Time now,
                                   Actions* actions) {
  Replica* replica = Find(epoch);
  // A worker may be back before the end of its old stream is noticed.
  if (replica == nullptr || --replica->streams > 0) return;
  LoseRequest(replica, actions);
  replica->session.reset();
  replica->state = ReplicaState::kDetached;
  replica->since = now;
  Dispatch(now, actions);
}

void DeploymentRuntime::OnExited(int64_t epoch, const std::string& how,
                                 absl::Time now, Actions* actions) {
  Replica* replica = Find(epoch);
  if (replica == nullptr) return;
  std::string cause = how;
  if (!replica->last_words.empty()) {
    cause = absl::StrCat(replica->last_words, " (", how, ")");
  }
  Crashed(replica, cause, now, actions);
  Dispatch(now, actions);
}

void DeploymentRuntime::Crashed(Replica* replica, const std::string& cause,
                                absl::Time now, Actions* actions) {
  const bool was_healthy = replica->ready_at != absl::InfinitePast() &&
                           now - replica->ready_at >= options_.healthy_after;
  replica->crashes = was_healthy ? 1 : replica->crashes + 1;
  replica->last_error = cause;
  LoseRequest(replica, actions);
  replica->session.reset();
  replica->epoch = 0;
  replica->since = now;
  if (finished_ || replica->crashes > options_.max_restarts) {
    replica->state = ReplicaState::kFailed;
  } else {
    replica->state = ReplicaState::kWaiting;
    replica->start_at = now + Backoff(options_, replica->crashes);
  }
  if (AllFailed()) {
    AnswerAll(NotReady(absl::StrCat("its replicas crashed too often: ", cause),
                       absl::ZeroDuration()),
              actions);
  } else {
    DropHopeless(now, actions);
  }
}

void DeploymentRuntime::LoseRequest(Replica* replica, Actions* actions) {
  const int64_t id = std::exchange(replica->busy, 0);
  if (id != 0) {
    Retry(
        id,
        replica->last_error.empty() ? "its stream broke" : replica->last_error,
        actions);
  }
}

void DeploymentRuntime::Retry(int64_t id, const std::string& cause,
                              Actions* actions) {
  const SampleEntry* entry = queue_.Find(id);
  if (entry == nullptr) return;
  if (entry->attempts < options_.max_attempts) {
    queue_.PutBack(id);
    return;
  }
  Answer(
      id,
      service::Error(absl::StatusCode::kUnavailable, v1::ERROR_REASON_NOT_READY,
                     absl::StrCat(entry->attempts,
                                  " replicas failed while they worked on this "
                                  "request, the last one with: ",
                                  cause)),
      actions);
}

void DeploymentRuntime::OnAnswer(Replica* replica,
                                 internal::v1::SampleAnswer* answer,
                                 absl::Time now, Actions* actions) {
  // Also answers to what was cancelled here.
  if (replica->busy != answer->id() || answer->id() == 0) return;
  replica->busy = 0;
  if (queue_.Find(answer->id()) == nullptr) return;
  const auto code = static_cast<absl::StatusCode>(answer->code());
  switch (code) {
    case absl::StatusCode::kOk:
      replica->crashes = 0;
      Succeed(answer, now, actions);
      return;
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnavailable:
      // Nobody here gave it up: the replica is on its way out, and no use
      // until it says that it is ready again.
      replica->state = ReplicaState::kDetached;
      replica->since = now;
      Retry(answer->id(), answer->error(), actions);
      return;
    case absl::StatusCode::kResourceExhausted:
      Answer(answer->id(),
             service::Error(code, v1::ERROR_REASON_LIMIT_EXCEEDED,
                            answer->error()),
             actions);
      return;
    default:
      Answer(answer->id(),
             service::Error(code, ReasonOfWorker(code), answer->error()),
             actions);
  }
}

void DeploymentRuntime::Succeed(internal::v1::SampleAnswer* answer,
                                absl::Time now, Actions* actions) {
  const SampleEntry& entry = *queue_.Find(answer->id());
  const int64_t samples = entry.request.samples();
  if (answer->response().images_size() != samples) {
    Answer(answer->id(),
           service::Error(absl::StatusCode::kInternal,
                          v1::ERROR_REASON_WORKER_FAILED,
                          absl::StrCat("the replica answered with ",
                                       answer->response().images_size(),
                                       " images instead of ", samples)),
           actions);
    return;
  }
  const double seconds =
      absl::ToDoubleSeconds(now - entry.dispatched) / samples;
  seconds_per_sample_ =
      seconds_per_sample_ == 0
          ? seconds
          : (1 - kNewest) * seconds_per_sample_ + kNewest * seconds;
  v1::SampleResponse response = std::move(*answer->mutable_response());
  v1::SampleStatistics* statistics = response.mutable_statistics();
  statistics->set_model(model_.name);
  service::SetDuration(entry.dispatched - entry.arrival,
                       statistics->mutable_queue_time());
  if (!statistics->has_compute_time()) {
    service::SetDuration(now - entry.dispatched,
                         statistics->mutable_compute_time());
  }
  Answer(answer->id(), std::move(response), actions);
}

absl::Status DeploymentRuntime::Submit(SampleEntry&& entry, absl::Time now,
                                       Actions* actions) {
  if (deleting_) {
    return service::Error(
        absl::StatusCode::kFailedPrecondition, v1::ERROR_REASON_STATE_CONFLICT,
        absl::StrCat("deployment ", config_.name(), " is being deleted"));
  }
  if (AllFailed()) {
    return NotReady(absl::StrCat("it has failed: ", LastError(),
                                 "; delete it and create it again once the "
                                 "cause is gone"),
                    absl::ZeroDuration());
  }
  if (!ever_ready_) {
    return NotReady("it still loads its model", kStartingRetry);
  }
  const absl::Time possible = PossibleAt(now);
  if (entry.deadline <= possible) {
    return NotReady(
        absl::StrCat("no replica is ready before the request's deadline: ",
                     LastError()),
        std::max(possible - now, kShortestRetry));
  }
  RETORT_RETURN_IF_ERROR(queue_.Admit(std::move(entry), RetryAfter()));
  Dispatch(now, actions);
  return absl::OkStatus();
}

void DeploymentRuntime::Cancel(int64_t id, absl::Time now, Actions* actions) {
  if (queue_.Find(id) == nullptr) return;
  Answer(id, absl::CancelledError("the caller gave up"), actions);
  Dispatch(now, actions);
}

void DeploymentRuntime::Answer(int64_t id,
                               absl::StatusOr<v1::SampleResponse> result,
                               Actions* actions) {
  for (Replica& replica : replicas_) {
    if (replica.busy != id) continue;
    // Still at work on it: in vain now.
    replica.busy = 0;
    if (replica.session != nullptr) {
      actions->messages.push_back({replica.session, CancelMessage(id)});
    }
  }
  actions->answers.push_back({queue_.Take(id), std::move(result)});
}

void DeploymentRuntime::AnswerAll(const absl::Status& status,
                                  Actions* actions) {
  for (const int64_t id : queue_.All()) Answer(id, status, actions);
}

void DeploymentRuntime::Expire(absl::Time now, Actions* actions) {
  for (const int64_t id : queue_.Expired(now)) {
    Answer(
        id,
        service::Error(absl::StatusCode::kDeadlineExceeded,
                       v1::ERROR_REASON_DEADLINE_EXCEEDED,
                       "the request's deadline passed before it was answered"),
        actions);
  }
}

void DeploymentRuntime::DropHopeless(absl::Time now, Actions* actions) {
  const absl::Time possible = PossibleAt(now);
  for (const int64_t id : queue_.Expired(possible)) {
    Answer(id,
           NotReady(absl::StrCat("a replica crashed, and none is back before "
                                 "the request's deadline: ",
                                 LastError()),
                    std::max(possible - now, kShortestRetry)),
           actions);
  }
}

void DeploymentRuntime::Dispatch(absl::Time now, Actions* actions) {
  Expire(now, actions);
  for (Replica& replica : replicas_) {
    if (replica.state != ReplicaState::kReady || replica.busy != 0 ||
        replica.killed) {
      continue;
    }
    const SampleEntry* entry = queue_.Next(now);
    if (entry == nullptr) break;
    replica.busy = entry->id;
    actions->messages.push_back({replica.session, TaskMessage(*entry, now)});
  }
  FinishDeletion(actions);
}

void DeploymentRuntime::Tick(absl::Time now, Actions* actions) {
  if (finished_) return;
  for (Replica& replica : replicas_) TickReplica(&replica, now, actions);
  Dispatch(now, actions);
}

void DeploymentRuntime::TickReplica(Replica* replica, absl::Time now,
                                    Actions* actions) {
  const auto kill = [&](const std::string& why) {
    replica->killed = true;
    if (replica->last_words.empty()) replica->last_words = why;
    actions->kills.push_back(replica->epoch);
  };
  if (replica->state == ReplicaState::kWaiting && replica->start_at <= now) {
    Launch(replica, now, actions);
  } else if (replica->killed) {
    return;
  } else if (replica->state == ReplicaState::kStarting &&
             replica->since + options_.ready_timeout <= now) {
    kill(absl::StrCat("it was not ready after ",
                      absl::FormatDuration(options_.ready_timeout)));
  } else if (replica->state == ReplicaState::kDetached &&
             replica->since + options_.reattach_grace <= now) {
    kill("it gave its work up and did not come back");
  }
}

absl::Time DeploymentRuntime::NextDue() const {
  if (finished_) return absl::InfiniteFuture();
  absl::Time due = queue_.NextDeadline();
  for (const Replica& replica : replicas_) {
    if (replica.state == ReplicaState::kWaiting) {
      due = std::min(due, replica.start_at);
    } else if (replica.killed) {
      continue;
    } else if (replica.state == ReplicaState::kStarting) {
      due = std::min(due, replica.since + options_.ready_timeout);
    } else if (replica.state == ReplicaState::kDetached) {
      due = std::min(due, replica.since + options_.reattach_grace);
    }
  }
  return due;
}

void DeploymentRuntime::Delete(absl::Time now, Actions* actions) {
  deleting_ = true;
  Dispatch(now, actions);
}

void DeploymentRuntime::Stop(const absl::Status& status, absl::Time now,
                             Actions* actions) {
  AnswerAll(status, actions);
  if (!finished_) EndReplicas(actions);
}

void DeploymentRuntime::FinishDeletion(Actions* actions) {
  if (!deleting_ || finished_ || !queue_.empty()) return;
  EndReplicas(actions);
  actions->finished = true;
}

void DeploymentRuntime::EndReplicas(Actions* actions) {
  finished_ = true;
  for (Replica& replica : replicas_) {
    if (replica.session != nullptr) {
      actions->messages.push_back(
          {replica.session, ControlMessage(internal::v1::Control::ACTION_DRAIN,
                                           "the deployment ends")});
    }
    if (replica.epoch != 0) actions->terminates.push_back(replica.epoch);
  }
}

bool DeploymentRuntime::AllFailed() const {
  return std::all_of(replicas_.begin(), replicas_.end(), [](const Replica& r) {
    return r.state == ReplicaState::kFailed;
  });
}

absl::Time DeploymentRuntime::PossibleAt(absl::Time now) const {
  absl::Time at = absl::InfiniteFuture();
  for (const Replica& replica : replicas_) {
    if (replica.state == ReplicaState::kFailed) continue;
    at = std::min(at, replica.state == ReplicaState::kWaiting
                          ? std::max(now, replica.start_at)
                          : now);
  }
  return at;
}

absl::Duration DeploymentRuntime::RetryAfter() const {
  if (seconds_per_sample_ == 0) return kStartingRetry;
  const double seconds = seconds_per_sample_ *
                         static_cast<double>(queue_.samples()) /
                         static_cast<double>(std::max(1, ready_replicas()));
  return std::clamp(absl::Seconds(seconds), kShortestRetry, kLongestRetry);
}

std::string DeploymentRuntime::LastError() const {
  for (const Replica& replica : replicas_) {
    if (!replica.last_error.empty()) return replica.last_error;
  }
  return "";
}

absl::Status DeploymentRuntime::NotReady(const std::string& why,
                                         absl::Duration retry) const {
  absl::Status status = service::Error(
      absl::StatusCode::kUnavailable, v1::ERROR_REASON_NOT_READY,
      absl::StrCat("deployment ", config_.name(), " is not ready: ", why),
      {{"deployment", config_.name()}});
  return retry > absl::ZeroDuration() ? service::WithRetryAfter(status, retry)
                                      : status;
}

int DeploymentRuntime::ready_replicas() const {
  return static_cast<int>(std::count_if(
      replicas_.begin(), replicas_.end(),
      [](const Replica& r) { return r.state == ReplicaState::kReady; }));
}

void DeploymentRuntime::Describe(absl::Time now,
                                 v1::Deployment* deployment) const {
  const int ready = ready_replicas();
  deployment->set_ready_replicas(ready);
  if (deleting_) {
    deployment->set_state(v1::Deployment::STATE_DELETING);
    deployment->set_state_reason("answers the requests in flight, then ends");
  } else if (AllFailed()) {
    deployment->set_state(v1::Deployment::STATE_FAILED);
    deployment->set_state_reason(LastError());
  } else if (ready > 0) {
    deployment->set_state(v1::Deployment::STATE_READY);
    if (ready < static_cast<int>(replicas_.size())) {
      const std::string error = LastError();
      deployment->set_state_reason(
          absl::StrCat(ready, " of ", replicas_.size(), " replicas are ready",
                       error.empty() ? "" : "; last error: ", error));
    }
  } else {
    deployment->set_state(v1::Deployment::STATE_STARTING);
    const absl::Time possible = PossibleAt(now);
    deployment->set_state_reason(
        possible > now
            ? absl::StrCat("restarts in ", absl::FormatDuration(possible - now),
                           " after: ", LastError())
            : std::string("loads its model"));
  }
}

}  // namespace retort::batching
