// RunningJobs: what workers say, and what their ends mean.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "server/base/resource_name.h"
#include "server/jobs/spec_models.h"
#include "server/jobs/timestamps.h"
#include "server/scheduler/job_facts.h"
#include "server/scheduler/log_tail.h"
#include "server/scheduler/running_jobs.h"

namespace retort::scheduler {
namespace {

using internal::v1::AttachRequest;
using internal::v1::AttachResponse;
using internal::v1::Control;
using J = v1::Job;

// How long the last messages of a gang that has ended may take.
constexpr absl::Duration kDrainTime = absl::Seconds(3);
constexpr int kLogLinesInCause = 5;
// How a job goes on that has run for its time_limit.
constexpr char kLongerLimit[] =
    "; to go on, clone it from its last checkpoint with a longer time_limit";

void Fence(executor::WorkerSession* session) {
  AttachResponse response;
  response.mutable_control()->set_action(Control::ACTION_FENCED);
  response.mutable_control()->set_reason("another worker has this job");
  session->Send(std::move(response));
  session->Close(absl::FailedPreconditionError("fenced"));
}

void Acknowledge(executor::WorkerSession* session) {
  if (session == nullptr) return;
  AttachResponse response;
  response.mutable_acknowledged();
  session->Send(std::move(response));
}

base::JobDir DirOf(const jobs::JobStore& store, const std::string& name) {
  return store.DirOf(service::ParseName(service::kJobs, name).value());
}

}  // namespace

absl::StatusOr<internal::v1::Assignment> RunningJobs::MakeAssignment(
    const jobs::JobRecord& record) {
  const v1::JobSpec& spec = record.job.spec();
  internal::v1::Assignment assignment;
  assignment.set_subject(record.job.name());
  assignment.set_job_name(record.job.name());
  assignment.set_epoch(record.epoch);
  *assignment.mutable_spec() = spec;
  assignment.set_spec_sha256(record.spec_sha256);
  const base::JobDir dir = DirOf(*store_, record.job.name());
  assignment.set_job_dir(dir.path());
  if (record.job.has_origin()) assignment.set_start_from(dir.start_dir());
  assignment.set_threads(spec.resources().cpu_threads());
  assignment.set_device(spec.resources().gpus() > 0 ? "cuda" : "cpu");
  for (const std::string& model : jobs::ModelsOf(spec)) {
    RETORT_ASSIGN_OR_RETURN((*assignment.mutable_model_dirs())[model],
                            models_->ModelPath(model));
  }
  return assignment;
}

void RunningJobs::AssignRanks(const std::string& name, Entry* entry,
                              const jobs::JobRecord& record) {
  const std::vector<int> ranks = entry->ranks.Unassigned();
  if (ranks.empty()) return;
  absl::StatusOr<internal::v1::Assignment> assignment = MakeAssignment(record);
  if (!assignment.ok()) {
    const absl::Status failed =
        ends_.Fail(name, std::string(assignment.status().message()));
    LogIfError(name, failed);
    entry->ended = IsFinal(failed);
    KillBecause(name, entry, "its job cannot be done");
    return;
  }
  for (const int rank : ranks) {
    // Where to meet is for rank 0 to say.
    if (rank > 0 && !entry->rendezvous.has_value()) continue;
    AttachResponse response;
    *response.mutable_assignment() = *assignment;
    response.mutable_assignment()->set_rank(rank);
    response.mutable_assignment()->set_world_size(entry->ranks.count());
    if (rank > 0) {
      *response.mutable_assignment()->mutable_rendezvous() = *entry->rendezvous;
    }
    entry->ranks.session(rank)->Send(std::move(response));
    entry->ranks.SetAssigned(rank);
  }
}

void RunningJobs::Attached(const std::string& name, int64_t epoch,
                           const internal::v1::Hello& hello,
                           std::shared_ptr<executor::WorkerSession> session) {
  Entry* entry = Find(name, epoch);
  if (entry == nullptr || !entry->ranks.Has(hello.rank())) {
    Fence(session.get());
    return;
  }
  entry->ranks.Attach(hello, session, clock_->Now());
  const bool all = entry->ranks.AllPresent();
  const auto record = store_->Update(name, [&](jobs::JobRecord& r, auto*) {
    if (all && r.job.state() == J::STATE_STARTING) {
      r.job.set_state(J::STATE_RUNNING);
      r.job.clear_state_reason();
    }
    return absl::OkStatus();
  });
  if (!record.ok()) {
    LogIfError(name, record.status());
    entry->ranks.Detach(hello.rank());
    session->Close(absl::UnavailableError(record.status().message()));
    return;
  }
  entry->waiting = false;
  if (all && entry->at_work() && entry->limit != Entry::Limit::kCancel) {
    SetLimit(entry, Entry::Limit::kNone, absl::ZeroDuration());
  }
  if (all && !entry->out_of_time &&
      record->running_since != absl::InfinitePast()) {
    entry->time_limit_at = record->running_since + TimeLeft(*record);
  }
  AssignRanks(name, entry, *record);
  PublishRanks(name, *entry);
  if (entry->at_work()) RepeatRequests(name, entry, record->job.state());
}

void RunningJobs::Placed(const std::string& name, int64_t epoch,
                         const executor::GangPlacement& placement) {
  Entry* entry = Find(name, epoch);
  if (entry == nullptr) return;
  const std::string id = executor_->DisplayId(placement.handle);
  if (id != "" && id != entry->executor_id) {
    entry->executor_id = id;
    NoteHandle(name, placement.handle);
    PublishRanks(name, *entry);
  }
  if (entry->ranks.AnyAttached() || !entry->at_work()) return;
  entry->waiting = placement.waiting;
  const bool asked = entry->limit == Entry::Limit::kCancel ||
                     entry->limit == Entry::Limit::kPause;
  if (!placement.waiting) {
    if (!asked) SetLimit(entry, Entry::Limit::kAttach, options_.attach_timeout);
  } else if (!asked) {
    // However long: the executor's queue is not ours to judge.
    SetLimit(entry, Entry::Limit::kNone, absl::ZeroDuration());
  }
  const auto noted = store_->Update(name, [&](auto& r, auto*) {
    if (r.job.state() == J::STATE_STARTING) {
      r.job.set_state_reason(placement.waiting ? placement.reason : "");
    }
    return absl::OkStatus();
  });
  LogIfError(name, noted.status());
}

void RunningJobs::Message(const std::string& name, int64_t epoch, int rank,
                          const AttachRequest& message) {
  Entry* entry = Find(name, epoch);
  if (entry == nullptr || !entry->ranks.Has(rank)) return;
  entry->ranks.Hear(rank, message, clock_->Now());
  switch (message.message_case()) {
    case AttachRequest::kHeartbeat:
      PublishRanks(name, *entry);
      return;
    case AttachRequest::kWarning:
      AddWarning(name,
                 absl::StrCat(rank > 0 ? absl::StrCat("rank ", rank, ": ") : "",
                              message.warning().message()));
      return;
    case AttachRequest::kEnded:
      rank == 0 ? TaskEnded(name, entry, message.ended())
                : RankEnded(name, entry, rank, message.ended());
      return;
    default:
      break;
  }
  if (rank != 0) return;  // rank 0 speaks for the gang
  switch (message.message_case()) {
    case AttachRequest::kProgress:
      if (!entry->ended) RecordProgress(name, message.progress());
      break;
    case AttachRequest::kCheckpoint:
      ends_.NoWait(name);
      entry->wrote = true;
      LogIfError(name, store_->RecordCheckpoint(
                           name, message.checkpoint().checkpoint()));
      break;
    case AttachRequest::kRendezvous:
      SetRendezvous(name, entry, message.rendezvous());
      break;
    default:
      // Log lines of a worker are in its file already.
      break;
  }
}

void RunningJobs::RecordProgress(const std::string& name,
                                 const internal::v1::Progress& progress) {
  const absl::Time time = progress.has_time()
                              ? jobs::FromTimestamp(progress.time())
                              : clock_->Now();
  v1::JobProgress now = progress.progress();
  if (now.step() == 0 && now.total_steps() == 0) KeepReached(name, &now);
  LogIfError(name,
             store_->RecordProgress(
                 name, now,
                 {progress.metrics().begin(), progress.metrics().end()}, time));
  metrics_->SetJobImagesPerSecond(name,
                                  progress.progress().images_per_second());
}

void RunningJobs::KeepReached(const std::string& name,
                              v1::JobProgress* progress) {
  const auto record = store_->Get(name);
  // Steps of other tasks are those of a phase that is over.
  if (!record.ok() || !WritesCheckpoints(record->job.spec())) return;
  const std::string phase = progress->phase();
  *progress = record->job.progress();
  progress->set_phase(phase);
  progress->clear_images_per_second();
  progress->clear_eta();
}

void RunningJobs::AddWarning(const std::string& name,
                             const std::string& message) {
  const auto added = store_->Update(name, [&](auto&, auto* events) {
    events->push_back({v1::JobEvent::KIND_WARNING, message});
    return absl::OkStatus();
  });
  LogIfError(name, added.status());
}

void RunningJobs::SetRendezvous(const std::string& name, Entry* entry,
                                const internal::v1::Rendezvous& rendezvous) {
  entry->rendezvous = rendezvous;
  const auto record = store_->Get(name);
  if (!record.ok()) {
    // Said again with the next stream.
    LogIfError(name, record.status());
    entry->ranks.session(0)->Close(
        absl::UnavailableError(record.status().message()));
    return;
  }
  AssignRanks(name, entry, *record);
}

void RunningJobs::TaskEnded(const std::string& name, Entry* entry,
                            const internal::v1::TaskEnded& ended) {
  using internal::v1::TaskEnded;
  const auto before = store_->Get(name);
  const bool told_already = entry->ended || absl::IsNotFound(before.status()) ||
                            (before.ok() && jobs::IsEnded(before->job.state()));
  absl::Status status;
  if (told_already) {
    // It repeats itself: the acknowledgement was lost.
  } else if (!before.ok()) {
    status = before.status();
  } else if (entry->out_of_time &&
             ended.outcome() == TaskEnded::OUTCOME_STOPPED) {
    status =
        ends_.Fail(name, absl::StrCat(entry->stopped_because, kLongerLimit));
  } else if (ended.outcome() == TaskEnded::OUTCOME_STOPPED && !entry->wrote &&
             !stopping_ && entry->unasked(before->job.state())) {
    // The limit of its partition, say. It must not begin anew for ever.
    status = ends_.Lost(name,
                        absl::StrCat("worker lost: ", ended.reason(),
                                     ", before it had written a checkpoint"),
                        "");
  } else {
    internal::v1::TaskEnded said = ended;
    if (!entry->stopped_because.empty() &&
        ended.outcome() == TaskEnded::OUTCOME_STOPPED) {
      const auto checkpoints = store_->ListCheckpoints(name);
      said.set_reason(absl::StrCat(
          entry->stopped_because, "; ",
          checkpoints.ok() && !checkpoints->empty()
              ? absl::StrCat("goes on from its checkpoint of step ",
                             checkpoints->back().step())
              : ends_.WhatNext(name)));
    }
    status = ends_.Say(name, said);
  }
  if (!IsFinal(status)) {
    // Not acknowledged: the worker says it again with its next stream.
    NotStored(name, status, entry);
    if (entry->ranks.session(0) != nullptr) {
      entry->ranks.session(0)->Close(absl::UnavailableError(status.message()));
    }
    return;
  }
  LogIfError(name, status);
  entry->ended = true;
  entry->ranks.SetEnded(0);
  Acknowledge(entry->ranks.session(0));
  SetLimit(entry, Entry::Limit::kExit, options_.exit_timeout);
  LogState(name);
}

void RunningJobs::LogState(const std::string& name) const {
  const auto record = store_->Get(name);
  if (!record.ok()) return;
  const v1::Job& job = record->job;
  RETORT_LOG(
      info, "{}: {}{}", name, jobs::StateName(job.state()),
      job.state_reason().empty() ? "" : absl::StrCat(": ", job.state_reason()));
}

void RunningJobs::RankEnded(const std::string& name, Entry* entry, int rank,
                            const internal::v1::TaskEnded& ended) {
  executor::WorkerSession* session = entry->ranks.session(rank);
  const bool fails =
      ended.outcome() == internal::v1::TaskEnded::OUTCOME_FAILED &&
      entry->at_work();
  const std::string why =
      absl::StrCat(entry->ranks.Describe(rank), ": ", ended.reason());
  if (fails) {
    const absl::Status status = ends_.Fail(name, why);
    if (!IsFinal(status)) {
      NotStored(name, status, entry);
      if (session != nullptr) {
        session->Close(absl::UnavailableError(status.message()));
      }
      return;
    }
    LogIfError(name, status);
  }
  entry->ranks.SetEnded(rank);
  Acknowledge(session);
  if (!fails) return;
  entry->ended = true;
  KillBecause(name, entry, why);
}

void RunningJobs::Detached(const std::string& name, int64_t epoch, int rank) {
  Entry* entry = Find(name, epoch);
  if (entry == nullptr || !entry->ranks.Has(rank)) return;
  entry->ranks.Detach(rank);
  if (entry->exit.has_value()) {
    if (!entry->ranks.AnyAttached()) Finish(name, entry);
  } else if (!entry->ended && !entry->ranks.AllPresent() &&
             entry->limit == Entry::Limit::kNone &&
             entry->killed_because.empty()) {
    SetLimit(entry, Entry::Limit::kLease, options_.lease);
  }
}

void RunningJobs::Exited(const std::string& name, int64_t epoch,
                         const executor::ExitStatus& exit) {
  Entry* entry = Find(name, epoch);
  if (entry == nullptr) return;
  entry->exit = exit;
  if (entry->ranks.AnyAttached() && !entry->ended) {
    SetLimit(entry, Entry::Limit::kDrain, kDrainTime);
  } else {
    Finish(name, entry);
  }
}

void RunningJobs::Finish(const std::string& name, Entry* entry) {
  metrics_->RemoveJob(name);
  // The executor says that it is gone. A rank that still has a stream is on a
  // node that the executor has lost: it must not work beside the next gang.
  for (int rank = 0; rank < entry->ranks.count(); ++rank) {
    if (entry->ranks.session(rank) != nullptr) {
      Fence(entry->ranks.session(rank));
    }
  }
  if (entry->ended) {
    const executor::ExitStatus exit = *entry->exit;
    Settle(name, [this, name, exit] { return ends_.StoppedBy(name, exit); });
    return;
  }
  Settle(name, WhatBecame(name, *entry));
}

std::function<absl::Status()> RunningJobs::WhatBecame(const std::string& name,
                                                      const Entry& entry) {
  const executor::ExitStatus& exit = *entry.exit;
  const std::string how = exit.ToString();
  if (stopping_) {
    return [=, this] { return ends_.Requeue(name, "the service stopped"); };
  }
  if (!entry.withdrawn_because.empty()) {
    const std::string why = entry.withdrawn_because;
    return [=, this] { return ends_.Requeue(name, why); };
  }
  if (!exit.not_started.ok()) return NotStarted(name, exit.not_started);
  if (entry.out_of_time) {
    const std::string why = absl::StrCat(entry.stopped_because, kLongerLimit);
    return [=, this] { return ends_.Fail(name, why); };
  }
  if (entry.killed_because.empty() && exit.cancelled) {
    return [=, this] { return ends_.Cancelled(name, how); };
  }
  // Any other limit is the partition's: it goes on in another gang.
  if (entry.killed_because.empty() && exit.time_limit &&
      entry.time_limit_at <= clock_->Now()) {
    RETORT_LOG(warn, "{}: {}", name, how);
    return [=, this] { return ends_.Fail(name, how); };
  }
  std::string cause = how;
  if (!entry.killed_because.empty()) {
    cause = absl::StrCat(entry.killed_because, " (", how, ")");
  }
  cause = absl::StrCat("worker lost: ", cause);
  RETORT_LOG(warn, "{}: {}", name, cause);
  if (exit.lost_node) {
    return [=, this] { return ends_.LostNode(name, cause); };
  }
  metrics_->CountWorkerFailure(kRole);
  const std::vector<std::string> lines =
      LastLines(DirOf(*store_, name).log_path(), kLogLinesInCause);
  const std::string details =
      lines.empty()
          ? ""
          : absl::StrCat("; its last log lines:\n", absl::StrJoin(lines, "\n"));
  return [=, this] { return ends_.Lost(name, cause, details); };
}

}  // namespace retort::scheduler
