// The gangs from the service's side: starts, requests, time limits. What
// workers say is in running_jobs_news.cc.
#include "server/scheduler/running_jobs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "server/base/durations.h"
#include "server/base/resource_name.h"
#include "server/scheduler/job_facts.h"

namespace retort::scheduler {
namespace {

using internal::v1::AttachResponse;
using internal::v1::Control;
using J = v1::Job;

// With workers attached this thread looks up so often: if it comes much later
// than that, it was the one that slept.
constexpr absl::Duration kWatchPeriod = absl::Seconds(5);
// A rank that seems to hang is looked at again after so long: what it said may
// wait to be read, if this process itself was held up.
constexpr absl::Duration kSecondLook = absl::Seconds(1);

AttachResponse ControlMessage(Control::Action action,
                              const std::string& reason) {
  AttachResponse response;
  response.mutable_control()->set_action(action);
  response.mutable_control()->set_reason(reason);
  return response;
}

int RanksOf(const v1::ResourceSpec& resources) {
  return std::max(resources.world_size(), 1);
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
      metrics_(metrics),
      ends_(options.ends, clock, store, models) {}

absl::Status RunningJobs::Recover(const jobs::JobRecord& record) {
  const std::string& name = record.job.name();
  // Without a handle the server fell between the start of the gang and the
  // note of it, or before the start: the executor looks for it.
  const absl::StatusOr<std::string> adopted =
      executor_->Adopt(name, record.epoch, record.handle, record.token_sha256);
  if (absl::IsNotFound(adopted.status())) {
    Settle(name, [this, name] {
      return ends_.Requeue(name,
                           "its worker was gone when the service started");
    });
    return absl::OkStatus();
  }
  if (absl::IsFailedPrecondition(adopted.status())) {
    // It may still run where this server cannot look: it is not run twice.
    const std::string reason =
        absl::StrCat(adopted.status().message(),
                     "; start retortd with the executor it had before, or make "
                     "sure that none of it runs, then resume the job");
    Settle(name, [this, name, reason] { return ends_.Fail(name, reason); });
    return absl::OkStatus();
  }
  RETORT_RETURN_IF_ERROR(adopted.status());
  if (*adopted != record.handle) NoteHandle(name, *adopted);
  const bool at_work = record.job.state() != J::STATE_STARTING;
  const v1::ResourceSpec& resources = record.job.spec().resources();
  Entry entry;
  entry.epoch = record.epoch;
  entry.executor_id = executor_->DisplayId(*adopted);
  entry.ranks = GangRanks(RanksOf(resources), at_work);
  if (at_work && record.running_since != absl::InfinitePast()) {
    entry.time_limit_at = record.running_since + TimeLeft(record);
  }
  Entry& kept = running_[name] = std::move(entry);
  // From another machine a worker may have to find out first that this one is
  // there again.
  const bool near = at_work && !executor_->has_queue();
  AwaitRanks(&kept, near ? options_.adopt_timeout : options_.attach_timeout,
             !at_work);
  PublishRanks(name, kept);
  return absl::OkStatus();
}

absl::StatusOr<bool> RunningJobs::StartJob(const std::string& name) {
  const std::string token = executor::NewToken();
  // On disk before the processes exist, so that a server that takes over knows
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
  const v1::ResourceSpec& resources = record.job.spec().resources();
  const base::JobDir dir =
      store_->DirOf(service::ParseName(service::kJobs, name).value());
  executor::GangSpec spec;
  spec.subject = name;
  spec.epoch = record.epoch;
  spec.role = kRole;
  spec.ranks = RanksOf(resources);
  spec.threads = resources.cpu_threads();
  spec.gpus = resources.gpus();
  spec.max_ranks_per_node = resources.max_ranks_per_node();
  // Ours, which counts from when all ranks are there, comes first.
  spec.time_limit = std::max(TimeLeft(record), absl::ZeroDuration()) +
                    options_.attach_timeout;
  spec.slurm = resources.slurm();
  spec.log_path = dir.log_path();
  spec.token = token;
  // Before it starts: what is left of an earlier gang, where nobody can reach
  // it, must not write any more.
  const absl::Status fenced =
      base::AtomicWriteFile(dir.epoch_path(), absl::StrCat(record.epoch));
  const absl::StatusOr<std::string> handle =
      fenced.ok() ? executor_->Start(spec)
                  : absl::StatusOr<std::string>(fenced);
  if (!handle.ok()) {
    Settle(name, NotStarted(name, handle.status()));
    return false;
  }
  metrics_->CountWorkerStart(kRole);
  Entry& entry = running_[name] = Entry();
  entry.epoch = record.epoch;
  entry.executor_id = executor_->DisplayId(*handle);
  entry.ranks = GangRanks(spec.ranks, /*assigned=*/false);
  AwaitRanks(&entry, options_.attach_timeout, /*may_wait=*/true);
  if (!handle->empty()) NoteHandle(name, *handle);
  PublishRanks(name, entry);
  return true;
}

std::function<absl::Status()> RunningJobs::NotStarted(const std::string& name,
                                                      const absl::Status& why) {
  const std::string cause =
      absl::StrCat("its worker cannot be started: ", why.message());
  RETORT_LOG(warn, "{}: {}", name, cause);
  const bool passing = MayPass(why);
  return [this, name, cause, passing] {
    return passing ? ends_.PutOff(name, cause) : ends_.Fail(name, cause);
  };
}

void RunningJobs::AwaitRanks(Entry* entry, absl::Duration timeout,
                             bool may_wait) {
  // One in the executor's own queue has all the time it takes, until the
  // executor says that it has been placed.
  entry->waiting = may_wait && executor_->has_queue();
  if (!entry->waiting) SetLimit(entry, Entry::Limit::kAttach, timeout);
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

void RunningJobs::AskToEnd(const std::string& name, Entry* entry,
                           Control::Action action, const std::string& why) {
  if (entry->waiting ||
      (entry->ranks.count() > 1 && !entry->ranks.AllAssigned())) {
    // It has not begun: some of its ranks could not be asked, and the others
    // would wait for them.
    entry->withdrawn_because = why;
    KillBecause(name, entry, why);
    return;
  }
  RETORT_LOG(info, "{}: its workers are asked to stop: {}", name, why);
  if (entry->ranks.AnyAttached()) {
    entry->ranks.SendToAll(ControlMessage(action, why));
  } else {
    // It would not hear us.
    executor_->Terminate(name, entry->epoch);
  }
  if (action == Control::ACTION_CANCEL) {
    SetLimit(entry, Entry::Limit::kCancel, options_.cancel_timeout);
  } else {
    SetLimit(entry, Entry::Limit::kPause, options_.pause_timeout);
  }
}

void RunningJobs::Cancel(const std::string& name) {
  if (running_.count(name) == 0) ends_.NoWait(name);
  if (Entry* entry = FindToAsk(name, J::STATE_CANCELLING)) {
    AskToEnd(name, entry, Control::ACTION_CANCEL, "cancelled by request");
  }
}

void RunningJobs::Pause(const std::string& name) {
  Entry* entry = FindToAsk(name, J::STATE_PAUSING);
  // One that is about to attach is told then.
  if (entry == nullptr || entry->limit == Entry::Limit::kAttach) return;
  AskToEnd(name, entry, Control::ACTION_PAUSE, "paused by request");
}

void RunningJobs::Preempt(const std::string& name, const std::string& reason) {
  const auto found = running_.find(name);
  if (found == running_.end()) return;
  Entry& entry = found->second;
  if (!entry.at_work() || !entry.stopped_because.empty()) return;
  entry.stopped_because = reason;
  // One that is about to attach is told then.
  if (entry.limit == Entry::Limit::kAttach) return;
  const auto record = store_->Get(name);
  LogIfError(name, record.status());
  // One that is cancelled or paused meanwhile stops for that.
  if (record.ok() && record->job.state() != J::STATE_STARTING &&
      record->job.state() != J::STATE_RUNNING) {
    return;
  }
  AskToEnd(name, &entry, Control::ACTION_PAUSE, reason);
}

void RunningJobs::StopAll() {
  stopping_ = true;
  for (auto& [name, entry] : running_) {
    if (entry.ended) continue;
    if (entry.ranks.AnyAttached()) {
      entry.ranks.SendToAll(
          ControlMessage(Control::ACTION_PAUSE, "the service stops"));
    } else if (entry.waiting || entry.limit == Entry::Limit::kAttach) {
      executor_->Terminate(name, entry.epoch);
    }
  }
}

void RunningJobs::RepeatRequests(const std::string& name, Entry* entry,
                                 jobs::State state) {
  if (state == J::STATE_CANCELLING) {
    Cancel(name);
  } else if (state == J::STATE_PAUSING) {
    Pause(name);
  } else if (stopping_) {
    entry->ranks.SendToAll(
        ControlMessage(Control::ACTION_PAUSE, "the service stops"));
  } else if (!entry->stopped_because.empty()) {
    AskToEnd(name, entry, Control::ACTION_PAUSE, entry->stopped_because);
  }
}

void RunningJobs::PublishRanks(const std::string& name, const Entry& entry) {
  if (entry.ended) return;
  store_->feed()->SetGang(name, {entry.ranks.ToMessages(), entry.executor_id});
}

void RunningJobs::Settle(const std::string& name,
                         std::function<absl::Status()> settle) {
  const absl::Status status = settle();
  // A server that stops leaves it to the next one, which finds the job without
  // a gang.
  if (IsFinal(status) || stopping_) {
    LogIfError(name, status);
    running_.erase(name);
    return;
  }
  Entry& entry = running_[name];
  NotStored(name, status, &entry);
  entry.settle = std::move(settle);
  SetLimit(&entry, Entry::Limit::kSettle, options_.settle_interval);
}

void RunningJobs::NotStored(const std::string& name, const absl::Status& status,
                            Entry* entry) {
  if (entry->not_stored == status) return;
  entry->not_stored = status;
  RETORT_LOG(error,
             "{}: its end cannot be written down, and is tried again: {}", name,
             std::string(status.message()));
}

void RunningJobs::KillBecause(const std::string& name, Entry* entry,
                              const std::string& why) {
  RETORT_LOG(warn, "{}: its workers are killed: {}", name, why);
  entry->killed_because = why;
  SetLimit(entry, Entry::Limit::kNone, absl::ZeroDuration());
  executor_->Kill(name, entry->epoch);
}

absl::Time RunningJobs::CheckTimeLimits() {
  const absl::Time now = clock_->Now();
  std::vector<std::string> names;
  for (const auto& [name, entry] : running_) names.push_back(name);
  for (const std::string& name : names) {
    Entry& entry = running_.at(name);
    if (entry.limit_at <= now) {
      LimitPassed(name, &entry);
      continue;
    }
    if (!entry.at_work()) continue;
    CheckHanging(name, &entry);
    if (entry.at_work() && entry.time_limit_at <= now) OutOfTime(name, &entry);
  }
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [name, entry] : running_) {
    next = std::min(next, entry.limit_at);
    if (!entry.at_work()) continue;
    next = std::min({next, entry.time_limit_at,
                     entry.suspected_at.has_value()
                         ? *entry.suspected_at + kSecondLook
                         : entry.ranks.NextHang(options_.hang)});
    if (entry.ranks.AnyAttached()) next = std::min(next, now + kWatchPeriod);
  }
  return next;
}

void RunningJobs::Overslept(absl::Duration by) {
  RETORT_LOG(warn,
             "the scheduler was not awake for {}: time limits of workers are "
             "counted anew",
             absl::FormatDuration(absl::Trunc(by, absl::Milliseconds(100))));
  for (auto& [name, entry] : running_) {
    entry.limit_at += by;
    entry.ranks.RestartClocks(clock_->Now());
  }
}

void RunningJobs::CheckHanging(const std::string& name, Entry* entry) {
  const absl::Time now = clock_->Now();
  const auto verdict = entry->ranks.FindHanging(options_.hang, now);
  if (!verdict.has_value()) {
    entry->suspected_at.reset();
  } else if (!entry->suspected_at.has_value()) {
    entry->suspected_at = now;
  } else if (now >= *entry->suspected_at + kSecondLook) {
    Hangs(name, entry, *verdict);
  }
}

void RunningJobs::Hangs(const std::string& name, Entry* entry,
                        const std::string& verdict) {
  const std::string next = ends_.WhatNext(name);
  const auto noted = store_->Update(name, [&](auto& r, auto* events) {
    const bool goes_on =
        r.job.state() == J::STATE_RUNNING || r.job.state() == J::STATE_STARTING;
    events->push_back(
        {v1::JobEvent::KIND_WARNING,
         absl::StrCat(verdict, "; the gang is stopped", goes_on ? " and " : "",
                      goes_on ? next : "")});
    return absl::OkStatus();
  });
  LogIfError(name, noted.status());
  KillBecause(name, entry, verdict);
}

void RunningJobs::OutOfTime(const std::string& name, Entry* entry) {
  entry->time_limit_at = absl::InfiniteFuture();
  const auto record = store_->Get(name);
  LogIfError(name, record.status());
  // Otherwise it ends anyway.
  if (record.ok() && record->job.state() != J::STATE_RUNNING) return;
  entry->out_of_time = true;
  entry->stopped_because = absl::StrCat(
      "has run for its time_limit",
      record.ok()
          ? absl::StrCat(" of ",
                         absl::FormatDuration(service::GetDuration(
                             record->job.spec().resources().time_limit())))
          : "");
  AskToEnd(name, entry, Control::ACTION_PAUSE, entry->stopped_because);
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
      KillBecause(name, entry,
                  entry->out_of_time || !entry->stopped_because.empty()
                      ? "the worker did not stop when asked to"
                      : "the worker did not stop when paused");
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

}  // namespace retort::scheduler
