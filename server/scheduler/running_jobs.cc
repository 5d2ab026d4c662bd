#include "server/scheduler/running_jobs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "server/base/resource_name.h"
#include "server/jobs/spec_models.h"
#include "server/scheduler/log_tail.h"

namespace retort::scheduler {
namespace {

using internal::v1::AttachResponse;
using internal::v1::Control;
using J = v1::Job;

// "FD-FMNIST at 2 step(s): 12.3 [11.8, 12.9]", the interval with seeds only.
std::string ResultMessage(const v1::EvaluationResult& result) {
  std::string text = absl::StrCat(result.metric(), " at ", result.steps(),
                                  " step(s): ", result.value());
  if (result.seeds() > 1) {
    absl::StrAppend(&text, " [", result.low(), ", ", result.high(), "], 95 %, ",
                    result.seeds(), " seeds");
  }
  return text;
}

// How long the last messages of a process that has ended may take.
constexpr absl::Duration kDrainTime = absl::Seconds(3);
constexpr int kLogLinesInCause = 5;
constexpr char kRole[] = "task";

void SendControl(executor::WorkerSession* session, Control::Action action,
                 const std::string& reason) {
  AttachResponse response;
  response.mutable_control()->set_action(action);
  response.mutable_control()->set_reason(reason);
  session->Send(std::move(response));
}

void SendAcknowledged(executor::WorkerSession* session) {
  AttachResponse response;
  response.mutable_acknowledged();
  session->Send(std::move(response));
}

// What a paused job that is resumed will do, as its reason says after a text.
constexpr char kLastCheckpoint[] =
    "; when resumed it goes on from its last checkpoint";
constexpr char kNoCheckpoint[] =
    "; there is no checkpoint: when resumed it starts again";

bool HasCheckpoint(const jobs::JobStore& store, const std::string& name) {
  const auto checkpoints = store.ListCheckpoints(name);
  return checkpoints.ok() && !checkpoints->empty();
}

service::ResourceName Parsed(const std::string& name) {
  return service::ParseName(service::kJobs, name).value();
}

// Errors that pass by themselves or once an operator has made room: no reason
// to throw work away.
bool MayPass(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
}

void LogIfError(const std::string& name, const absl::Status& status) {
  if (!status.ok()) {
    RETORT_LOG(error, "{}: {}", name, std::string(status.message()));
  }
}

}  // namespace

RunningJobs::RunningJobs(const RunningJobsOptions& options, base::Clock* clock,
                         jobs::JobStore* store, jobs::ModelLookup* models,
                         executor::Executor* executor,
                         metrics::ServiceMetrics* metrics)
    : options_(options),
      clock_(clock),
      store_(store),
      models_(models),
      executor_(executor),
      metrics_(metrics) {}

absl::Status RunningJobs::Recover(const jobs::JobRecord& record) {
  const std::string& name = record.job.name();
  Entry entry;
  entry.epoch = record.epoch;
  entry.cpu_threads = record.job.spec().resources().cpu_threads();
  // Without a handle the server fell between the start of the gang and the
  // note of it, or before the start: the executor looks for it.
  const absl::StatusOr<std::string> adopted =
      executor_->Adopt(name, record.epoch, record.handle, record.token_sha256);
  if (absl::IsNotFound(adopted.status())) {
    Settle(name, [this, name] {
      return Requeue(name, "its worker was gone when the service started");
    });
    return absl::OkStatus();
  }
  if (absl::IsFailedPrecondition(adopted.status())) {
    // It may still run where this server cannot look: it is not run twice.
    const std::string reason = absl::StrCat(
        adopted.status().message(),
        "; start retortd with the executor it had "
        "before, or make sure that none of it runs, then resume the job");
    Settle(name, [this, name, reason] { return FailJob(name, reason); });
    return absl::OkStatus();
  }
  RETORT_RETURN_IF_ERROR(adopted.status());
  if (*adopted != record.handle) NoteHandle(name, *adopted);
  Entry& kept = running_[name] = std::move(entry);
  SetLimit(&kept, Entry::Limit::kAttach, options_.adopt_timeout);
  return absl::OkStatus();
}

absl::StatusOr<bool> RunningJobs::StartJob(const std::string& name) {
  const std::string token = executor::NewToken();
  // On disk before the process exists, so that a server that takes over knows
  // whom it may hear from.
  RETORT_ASSIGN_OR_RETURN(jobs::JobRecord record,
                          store_->Update(name, [&](auto& r, auto*) {
                            r.job.set_state(J::STATE_STARTING);
                            r.job.clear_state_reason();
                            r.job.set_attempts(r.job.attempts() + 1);
                            ++r.epoch;
                            r.handle.clear();
                            r.token_sha256 = base::Sha256Hex(token);
                            return absl::OkStatus();
                          }));
  const base::JobDir dir = store_->DirOf(Parsed(name));
  executor::GangSpec spec;
  spec.subject = name;
  spec.epoch = record.epoch;
  spec.role = kRole;
  spec.threads = record.job.spec().resources().cpu_threads();
  spec.log_path = dir.log_path();
  spec.token = token;
  const absl::StatusOr<std::string> handle = executor_->Start(spec);
  if (!handle.ok()) {
    const std::string cause = absl::StrCat("its worker cannot be started: ",
                                           handle.status().message());
    RETORT_LOG(warn, "{}: {}", name, cause);
    const bool passing = MayPass(handle.status());
    Settle(name, [this, name, cause, passing] {
      return passing ? PutOff(name, cause) : FailJob(name, cause);
    });
    return false;
  }
  metrics_->CountWorkerStart(kRole);
  Entry& entry = running_[name] = Entry();
  entry.epoch = record.epoch;
  entry.cpu_threads = spec.threads;
  SetLimit(&entry, Entry::Limit::kAttach, options_.attach_timeout);
  NoteHandle(name, *handle);
  return true;
}

void RunningJobs::NoteHandle(const std::string& name,
                             const std::string& handle) {
  const auto noted = store_->Update(name, [&](auto& r, auto*) {
    r.handle = handle;
    return absl::OkStatus();
  });
  LogIfError(name, noted.status());
}

RunningJobs::Entry* RunningJobs::Find(const std::string& name, int64_t epoch) {
  const auto found = running_.find(name);
  // One to settle has no worker any more: whoever says so is not it.
  if (found == running_.end() || found->second.epoch != epoch ||
      found->second.settle) {
    return nullptr;
  }
  return &found->second;
}

void RunningJobs::SetLimit(Entry* entry, Entry::Limit limit,
                           absl::Duration after) {
  entry->limit = limit;
  entry->limit_at = limit == Entry::Limit::kNone ? absl::InfiniteFuture()
                                                 : clock_->Now() + after;
}

RunningJobs::Entry* RunningJobs::FindToAsk(const std::string& name,
                                           jobs::State state) {
  const auto found = running_.find(name);
  if (found == running_.end()) return nullptr;
  Entry& entry = found->second;
  if (entry.ended || entry.settle || entry.exit.has_value()) return nullptr;
  const auto record = store_->Get(name);
  LogIfError(name, record.status());
  return record.ok() && record->job.state() != state ? nullptr : &entry;
}

void RunningJobs::Cancel(const std::string& name) {
  if (running_.count(name) == 0) delays_.erase(name);
  Entry* entry = FindToAsk(name, J::STATE_CANCELLING);
  if (entry == nullptr) return;
  if (entry->session != nullptr) {
    SendControl(entry->session.get(), Control::ACTION_CANCEL,
                "cancelled by request");
  } else {
    // Not attached: it would not hear us.
    executor_->Terminate(name, entry->epoch);
  }
  SetLimit(entry, Entry::Limit::kCancel, options_.cancel_timeout);
}

void RunningJobs::Pause(const std::string& name) {
  Entry* entry = FindToAsk(name, J::STATE_PAUSING);
  // One that is about to attach is told then.
  if (entry == nullptr || entry->limit == Entry::Limit::kAttach) return;
  if (entry->session != nullptr) {
    SendControl(entry->session.get(), Control::ACTION_PAUSE,
                "paused by request");
  } else {
    executor_->Terminate(name, entry->epoch);
  }
  SetLimit(entry, Entry::Limit::kPause, options_.pause_timeout);
}

void RunningJobs::StopAll() {
  stopping_ = true;
  for (auto& [name, entry] : running_) {
    if (entry.ended) continue;
    if (entry.session != nullptr) {
      SendControl(entry.session.get(), Control::ACTION_PAUSE,
                  "the service stops");
    } else if (entry.limit == Entry::Limit::kAttach) {
      executor_->Terminate(name, entry.epoch);
    }
  }
}

absl::StatusOr<internal::v1::Assignment> RunningJobs::MakeAssignment(
    const jobs::JobRecord& record) {
  internal::v1::Assignment assignment;
  assignment.set_subject(record.job.name());
  assignment.set_job_name(record.job.name());
  assignment.set_epoch(record.epoch);
  *assignment.mutable_spec() = record.job.spec();
  assignment.set_spec_sha256(record.spec_sha256);
  assignment.set_job_dir(store_->DirOf(Parsed(record.job.name())).path());
  if (record.job.has_origin()) {
    assignment.set_start_from(
        store_->DirOf(Parsed(record.job.name())).start_dir());
  }
  assignment.set_threads(record.job.spec().resources().cpu_threads());
  for (const std::string& model : jobs::ModelsOf(record.job.spec())) {
    RETORT_ASSIGN_OR_RETURN((*assignment.mutable_model_dirs())[model],
                            models_->ModelPath(model));
  }
  return assignment;
}

void RunningJobs::Attached(const std::string& name, int64_t epoch,
                           const internal::v1::Hello& hello,
                           std::shared_ptr<executor::WorkerSession> session) {
  Entry* entry = Find(name, epoch);
  if (entry == nullptr) {
    SendControl(session.get(), Control::ACTION_FENCED,
                "another worker has this job");
    session->Close(absl::FailedPreconditionError("fenced"));
    return;
  }
  auto record = store_->Update(name, [](jobs::JobRecord& r, auto*) {
    if (r.job.state() == J::STATE_STARTING) {
      r.job.set_state(J::STATE_RUNNING);
    }
    return absl::OkStatus();
  });
  if (!record.ok()) {
    LogIfError(name, record.status());
    session->Close(absl::UnavailableError(record.status().message()));
    return;
  }
  entry->session = session;
  if (entry->limit != Entry::Limit::kCancel) {
    SetLimit(entry, Entry::Limit::kNone, absl::ZeroDuration());
  }
  if (!hello.resumed()) {
    absl::StatusOr<internal::v1::Assignment> assignment =
        MakeAssignment(*record);
    if (!assignment.ok()) {
      LogIfError(name,
                 FailJob(name, std::string(assignment.status().message())));
      entry->ended = true;
      KillBecause(name, entry, "its job cannot be done");
      return;
    }
    AttachResponse response;
    *response.mutable_assignment() = *std::move(assignment);
    session->Send(std::move(response));
  }
  if (record->job.state() == J::STATE_CANCELLING) {
    Cancel(name);
  } else if (record->job.state() == J::STATE_PAUSING) {
    Pause(name);
  } else if (stopping_) {
    SendControl(session.get(), Control::ACTION_PAUSE, "the service stops");
  }
}

void RunningJobs::Placed(const std::string& name, int64_t epoch,
                         const executor::GangPlacement& placement) {
  Entry* entry = Find(name, epoch);
  if (entry == nullptr || entry->session != nullptr) return;
  if (!placement.waiting) {
    SetLimit(entry, Entry::Limit::kAttach, options_.attach_timeout);
    return;
  }
  // However long: the executor's queue is not ours to judge.
  SetLimit(entry, Entry::Limit::kNone, absl::ZeroDuration());
  const auto noted = store_->Update(name, [&](auto& r, auto*) {
    if (r.job.state() == J::STATE_STARTING) {
      r.job.set_state_reason(placement.reason);
    }
    return absl::OkStatus();
  });
  LogIfError(name, noted.status());
}

void RunningJobs::Message(const std::string& name, int64_t epoch, int rank,
                          const internal::v1::AttachRequest& message) {
  Entry* entry = Find(name, epoch);
  if (entry == nullptr || rank != 0) return;
  switch (message.message_case()) {
    case internal::v1::AttachRequest::kProgress: {
      if (entry->ended) break;
      const internal::v1::Progress& progress = message.progress();
      const absl::Time time =
          progress.has_time()
              ? absl::FromUnixSeconds(progress.time().seconds()) +
                    absl::Nanoseconds(progress.time().nanos())
              : clock_->Now();
      LogIfError(name, store_->RecordProgress(name, progress.progress(),
                                              {progress.metrics().begin(),
                                               progress.metrics().end()},
                                              time));
      metrics_->SetJobImagesPerSecond(name,
                                      progress.progress().images_per_second());
      break;
    }
    case internal::v1::AttachRequest::kCheckpoint:
      delays_.erase(name);
      LogIfError(name, store_->RecordCheckpoint(
                           name, message.checkpoint().checkpoint()));
      break;
    case internal::v1::AttachRequest::kWarning:
      LogIfError(
          name, store_
                    ->Update(name,
                             [&](auto&, auto* events) {
                               events->push_back({v1::JobEvent::KIND_WARNING,
                                                  message.warning().message()});
                               return absl::OkStatus();
                             })
                    .status());
      break;
    case internal::v1::AttachRequest::kEnded:
      TaskEnded(name, entry, message.ended());
      break;
    default:
      // Heartbeats keep the stream warm. Log lines of a local worker are in
      // its file already.
      break;
  }
}

void RunningJobs::TaskEnded(const std::string& name, Entry* entry,
                            const internal::v1::TaskEnded& ended) {
  using internal::v1::TaskEnded;
  absl::Status status;
  bool put_off = false;
  const absl::StatusOr<jobs::JobRecord> before = store_->Get(name);
  const bool told_already = entry->ended || absl::IsNotFound(before.status()) ||
                            (before.ok() && jobs::IsEnded(before->job.state()));
  if (!before.ok() && !told_already) {
    status = before.status();
  } else if (!told_already && ended.outcome() == TaskEnded::OUTCOME_SUCCEEDED) {
    status = Succeed(name, ended);
  } else if (!told_already) {
    const bool goes_on = HasCheckpoint(*store_, name);
    const auto after = store_->Update(name, [&](jobs::JobRecord& r, auto*) {
      r.job.set_state(EndState(r.job.state(), ended));
      r.job.set_state_reason(ended.reason());
      if (r.job.state() == J::STATE_PAUSED && !goes_on) {
        r.job.set_state_reason(absl::StrCat(ended.reason(), kNoCheckpoint));
      }
      return absl::OkStatus();
    });
    status = after.status();
    put_off = after.ok() && after->job.state() == J::STATE_QUEUED &&
              ended.outcome() == TaskEnded::OUTCOME_DEFERRED;
  }
  if (!status.ok() && !MayPass(status)) {
    status = FailJob(name, absl::StrCat("its result cannot be taken over: ",
                                        status.message()));
    if (!MayPass(status)) status = absl::OkStatus();
  }
  if (!status.ok()) {
    // Not acknowledged: the worker says it again with its next stream.
    LogIfError(name, status);
    if (entry->session != nullptr) {
      entry->session->Close(absl::UnavailableError(status.message()));
    }
    return;
  }
  if (put_off) {
    Wait(name);
  } else if (!told_already) {
    delays_.erase(name);
  }
  entry->ended = true;
  if (entry->session != nullptr) SendAcknowledged(entry->session.get());
  SetLimit(entry, Entry::Limit::kExit, options_.exit_timeout);
  RETORT_LOG(info, "{}: {}{}", name,
             TaskEnded::Outcome_Name(ended.outcome()).substr(8),
             ended.reason().empty() ? "" : absl::StrCat(": ", ended.reason()));
}

jobs::State RunningJobs::EndState(jobs::State before,
                                  const internal::v1::TaskEnded& ended) {
  using internal::v1::TaskEnded;
  if (before == J::STATE_CANCELLING ||
      ended.outcome() == TaskEnded::OUTCOME_CANCELLED) {
    return J::STATE_CANCELLED;
  }
  if (ended.outcome() != TaskEnded::OUTCOME_STOPPED &&
      ended.outcome() != TaskEnded::OUTCOME_DEFERRED) {
    return J::STATE_FAILED;
  }
  return before == J::STATE_PAUSING ? J::STATE_PAUSED : J::STATE_QUEUED;
}

absl::Status RunningJobs::Succeed(const std::string& name,
                                  const internal::v1::TaskEnded& ended) {
  const service::ResourceName parsed = Parsed(name);
  RETORT_ASSIGN_OR_RETURN(jobs::JobRecord before, store_->Get(name));
  std::vector<std::string> models;
  for (const std::string& dir : ended.model_dirs()) {
    if (absl::StrContains(dir, "..") || absl::StartsWith(dir, "/")) {
      return absl::InvalidArgumentError(
          absl::StrCat("the worker names a folder outside its own: ", dir));
    }
    const service::ResourceName model{
        parsed.project, service::kModels,
        models.empty() ? parsed.id
                       : absl::StrCat(parsed.id, "-", models.size() + 1)};
    const std::string display = before.job.display_name();
    RETORT_ASSIGN_OR_RETURN(
        std::string adopted,
        models_->Adopt(model.ToString(), display.empty() ? model.id : display,
                       absl::StrCat(store_->DirOf(parsed).path(), "/", dir)));
    models.push_back(std::move(adopted));
  }
  return store_
      ->Update(name,
               [&](jobs::JobRecord& r,
                   std::vector<jobs::JobStore::EventText>* events) {
                 r.job.set_state(J::STATE_SUCCEEDED);
                 r.job.set_state_reason(ended.reason());
                 r.job.clear_models();
                 for (const std::string& model : models) {
                   r.job.add_models(model);
                   events->push_back({v1::JobEvent::KIND_RESULT,
                                      absl::StrCat("made ", model)});
                 }
                 *r.job.mutable_results() = ended.results();
                 for (const v1::EvaluationResult& result : ended.results()) {
                   events->push_back(
                       {v1::JobEvent::KIND_RESULT, ResultMessage(result)});
                 }
                 return absl::OkStatus();
               })
      .status();
}

void RunningJobs::Detached(const std::string& name, int64_t epoch, int rank) {
  Entry* entry = Find(name, epoch);
  if (entry == nullptr || rank != 0) return;
  entry->session.reset();
  if (entry->exit.has_value()) {
    Finish(name, entry);
  } else if (!entry->ended && entry->limit == Entry::Limit::kNone) {
    SetLimit(entry, Entry::Limit::kLease, options_.lease);
  }
}

void RunningJobs::Exited(const std::string& name, int64_t epoch,
                         const executor::ExitStatus& exit) {
  Entry* entry = Find(name, epoch);
  if (entry == nullptr) return;
  entry->exit = exit;
  if (entry->session != nullptr && !entry->ended) {
    SetLimit(entry, Entry::Limit::kDrain, kDrainTime);
  } else {
    Finish(name, entry);
  }
}

void RunningJobs::Finish(const std::string& name, Entry* entry) {
  metrics_->RemoveJob(name);
  if (entry->ended) {
    running_.erase(name);
    return;
  }
  if (stopping_) {
    Settle(name, [this, name] { return Requeue(name, "the service stopped"); });
    return;
  }
  metrics_->CountWorkerFailure(kRole);
  std::string cause = entry->exit->ToString();
  if (!entry->killed_because.empty()) {
    cause = absl::StrCat(entry->killed_because, " (", cause, ")");
  }
  cause = absl::StrCat("worker lost: ", cause);
  RETORT_LOG(warn, "{}: {}", name, cause);
  const std::vector<std::string> lines =
      LastLines(store_->DirOf(Parsed(name)).log_path(), kLogLinesInCause);
  const std::string details =
      lines.empty()
          ? ""
          : absl::StrCat("; its last log lines:\n", absl::StrJoin(lines, "\n"));
  Settle(name, [this, name, cause, details] {
    return WorkerLost(name, cause, details);
  });
}

void RunningJobs::Settle(const std::string& name,
                         std::function<absl::Status()> settle) {
  const absl::Status status = settle();
  LogIfError(name, status);
  // A server that stops leaves it to the next one, which finds the job without
  // a process.
  if (!MayPass(status) || stopping_) {
    running_.erase(name);
    return;
  }
  Entry& entry = running_[name];
  entry.settle = std::move(settle);
  SetLimit(&entry, Entry::Limit::kSettle, options_.settle_interval);
}

absl::Status RunningJobs::WorkerLost(const std::string& name,
                                     const std::string& cause,
                                     const std::string& details) {
  const bool goes_on = HasCheckpoint(*store_, name);
  RETORT_ASSIGN_OR_RETURN(
      const jobs::JobRecord record,
      store_->Update(name, [&](jobs::JobRecord& r,
                               std::vector<jobs::JobStore::EventText>* events) {
        if (!jobs::HasWorker(r.job.state())) return absl::OkStatus();
        events->push_back(
            {v1::JobEvent::KIND_WARNING, absl::StrCat(cause, details)});
        if (r.job.state() == J::STATE_CANCELLING) {
          r.job.set_state(J::STATE_CANCELLED);
        } else if (r.job.state() == J::STATE_PAUSING) {
          r.job.set_state(J::STATE_PAUSED);
          r.job.set_state_reason(
              absl::StrCat(cause, goes_on ? kLastCheckpoint : kNoCheckpoint));
        } else if (++r.failures > options_.max_failures) {
          r.job.set_state(J::STATE_FAILED);
          r.job.set_state_reason(absl::StrCat(
              cause, ", ", r.failures,
              " times in a row without a new checkpoint", details));
        } else {
          r.job.set_state(J::STATE_QUEUED);
          r.job.set_state_reason(
              absl::StrCat(cause,
                           goes_on ? "; goes on from its last checkpoint, try "
                                   : "; starts again, try ",
                           r.failures, " of ", options_.max_failures));
        }
        return absl::OkStatus();
      }));
  delays_.erase(name);
  if (record.job.state() == J::STATE_QUEUED) {
    const int doublings =
        static_cast<int>(std::clamp<int64_t>(record.failures - 1, 0, 6));
    delays_[name].until = clock_->Now() + options_.backoff * (1 << doublings);
  }
  return absl::OkStatus();
}

absl::Status RunningJobs::FailJob(const std::string& name,
                                  const std::string& reason) {
  delays_.erase(name);
  return store_
      ->Update(name,
               [&](jobs::JobRecord& r, auto*) {
                 if (jobs::IsEnded(r.job.state())) return absl::OkStatus();
                 r.job.set_state(r.job.state() == J::STATE_CANCELLING
                                     ? J::STATE_CANCELLED
                                     : J::STATE_FAILED);
                 r.job.set_state_reason(reason);
                 return absl::OkStatus();
               })
      .status();
}

absl::Status RunningJobs::Requeue(const std::string& name,
                                  const std::string& reason) {
  return store_
      ->Update(name,
               [&](jobs::JobRecord& r, auto*) {
                 const jobs::State state = r.job.state();
                 if (!jobs::HasWorker(state)) return absl::OkStatus();
                 r.job.set_state(state == J::STATE_CANCELLING
                                     ? J::STATE_CANCELLED
                                 : state == J::STATE_PAUSING ? J::STATE_PAUSED
                                                             : J::STATE_QUEUED);
                 r.job.set_state_reason(reason);
                 return absl::OkStatus();
               })
      .status();
}

absl::Status RunningJobs::PutOff(const std::string& name,
                                 const std::string& reason) {
  RETORT_RETURN_IF_ERROR(
      Requeue(name, absl::StrCat(reason, "; it is tried again")));
  Wait(name);
  return absl::OkStatus();
}

void RunningJobs::Wait(const std::string& name) {
  Delay& delay = delays_[name];
  const int doublings = std::min(delay.waits++, 20);
  delay.until = clock_->Now() + std::min(options_.first_wait * (1 << doublings),
                                         options_.max_wait);
}

void RunningJobs::KillBecause(const std::string& name, Entry* entry,
                              const std::string& why) {
  RETORT_LOG(warn, "{}: its worker is killed: {}", name, why);
  entry->killed_because = why;
  SetLimit(entry, Entry::Limit::kNone, absl::ZeroDuration());
  executor_->Kill(name, entry->epoch);
}

absl::Time RunningJobs::CheckTimeLimits() {
  const absl::Time now = clock_->Now();
  std::vector<std::string> due;
  for (const auto& [name, entry] : running_) {
    if (entry.limit_at <= now) due.push_back(name);
  }
  for (const std::string& name : due) LimitPassed(name, &running_.at(name));
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [name, entry] : running_) {
    next = std::min(next, entry.limit_at);
  }
  return next;
}

void RunningJobs::LimitPassed(const std::string& name, Entry* entry) {
  switch (entry->limit) {
    case Entry::Limit::kAttach:
      KillBecause(name, entry, "the worker did not attach in time");
      break;
    case Entry::Limit::kLease:
      KillBecause(name, entry, "the worker's stream broke and stayed broken");
      break;
    case Entry::Limit::kCancel:
      KillBecause(name, entry, "the worker did not end when cancelled");
      break;
    case Entry::Limit::kPause:
      KillBecause(name, entry, "the worker did not stop when paused");
      break;
    case Entry::Limit::kExit:
      KillBecause(name, entry, "the worker did not exit after its last word");
      break;
    case Entry::Limit::kDrain:
      Finish(name, entry);
      break;
    case Entry::Limit::kSettle:
      Settle(name, entry->settle);
      break;
    case Entry::Limit::kNone:
      break;
  }
}

std::vector<RunningJob> RunningJobs::Running() const {
  std::vector<RunningJob> running;
  for (const auto& [name, entry] : running_) {
    running.push_back({name, entry.cpu_threads});
  }
  return running;
}

absl::Time RunningJobs::NotBefore(const std::string& name) const {
  const auto found = delays_.find(name);
  return found == delays_.end() ? absl::InfinitePast() : found->second.until;
}

}  // namespace retort::scheduler
