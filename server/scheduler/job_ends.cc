#include "server/scheduler/job_ends.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "server/base/resource_name.h"
#include "server/base/words.h"
#include "server/db/database.h"
#include "server/jobs/job_state.h"

namespace retort::scheduler {
namespace {

using internal::v1::TaskEnded;
using J = v1::Job;
using Events = std::vector<jobs::JobStore::EventText>;

// What a paused job that is resumed will do, as its reason says after a text.
constexpr char kLastCheckpoint[] =
    "; when resumed it goes on from its last checkpoint";
constexpr char kNoCheckpoint[] =
    "; there is no checkpoint: when resumed it starts again";

// "FD-FMNIST at 2 steps: 12.3 [11.8, 12.9]", the interval with seeds only.
std::string ResultMessage(const v1::EvaluationResult& result) {
  std::string text = absl::StrCat(result.metric(), " at ",
                                  service::Count(result.steps(), "step"), ": ",
                                  result.value());
  if (result.seeds() > 1) {
    absl::StrAppend(&text, " [", result.low(), ", ", result.high(), "], 95 %, ",
                    result.seeds(), " seeds");
  }
  return text;
}

jobs::State EndState(jobs::State before, const TaskEnded& ended) {
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

// What was asked for while the gang still ran; `otherwise` if nothing was.
jobs::State AskedOr(jobs::State before, jobs::State otherwise) {
  if (before == J::STATE_CANCELLING) return J::STATE_CANCELLED;
  return before == J::STATE_PAUSING ? J::STATE_PAUSED : otherwise;
}

}  // namespace

bool MayPass(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
}

bool IsFinal(const absl::Status& status) {
  return status.ok() || absl::IsNotFound(status) ||
         absl::IsFailedPrecondition(status);
}

void LogIfError(const std::string& name, const absl::Status& status) {
  if (!status.ok()) {
    RETORT_LOG(error, "{}: {}", name, std::string(status.message()));
  }
}

bool JobEnds::HasCheckpoint(const std::string& name) const {
  const auto checkpoints = store_->ListCheckpoints(name);
  return checkpoints.ok() && !checkpoints->empty();
}

std::string JobEnds::WhatNext(const std::string& name) const {
  return HasCheckpoint(name) ? "goes on from its last checkpoint"
                             : "starts again";
}

absl::Status JobEnds::Say(const std::string& name, const TaskEnded& ended) {
  const absl::Status status = ended.outcome() == TaskEnded::OUTCOME_SUCCEEDED
                                  ? Succeed(name, ended)
                                  : Stop(name, ended);
  if (status.ok() || MayPass(status) || db::IsDatabaseError(status)) {
    return status;
  }
  return Fail(name, absl::StrCat("its result cannot be taken over: ",
                                 status.message()));
}

absl::Status JobEnds::LookForCheckpoints(const std::string& name) {
  const absl::Status looked = store_->LookForCheckpoints(name);
  if (db::IsDatabaseError(looked)) return looked;
  LogIfError(name, looked);
  return absl::OkStatus();
}

absl::Status JobEnds::Stop(const std::string& name, const TaskEnded& ended) {
  const bool goes_on = HasCheckpoint(name);
  RETORT_ASSIGN_OR_RETURN(
      const jobs::JobRecord after,
      store_->Update(name, [&](jobs::JobRecord& r, auto*) {
        r.job.set_state(EndState(r.job.state(), ended));
        r.job.set_state_reason(ended.reason());
        if (r.job.state() == J::STATE_PAUSED && !goes_on) {
          r.job.set_state_reason(absl::StrCat(ended.reason(), kNoCheckpoint));
        }
        return absl::OkStatus();
      }));
  if (after.job.state() == J::STATE_QUEUED &&
      ended.outcome() == TaskEnded::OUTCOME_DEFERRED) {
    Wait(name);
  } else {
    NoWait(name);
  }
  return absl::OkStatus();
}

absl::Status JobEnds::Succeed(const std::string& name, const TaskEnded& ended) {
  const service::ResourceName parsed =
      service::ParseName(service::kJobs, name).value();
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
  NoWait(name);
  return store_
      ->Update(name,
               [&](jobs::JobRecord& r, Events* events) {
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

absl::Status JobEnds::Fail(const std::string& name, const std::string& reason) {
  NoWait(name);
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

absl::Status JobEnds::Cancelled(const std::string& name,
                                const std::string& reason) {
  NoWait(name);
  return store_
      ->Update(name,
               [&](jobs::JobRecord& r, auto*) {
                 if (!jobs::HasWorker(r.job.state())) return absl::OkStatus();
                 r.job.set_state(AskedOr(r.job.state(), J::STATE_CANCELLED));
                 r.job.set_state_reason(reason);
                 return absl::OkStatus();
               })
      .status();
}

absl::Status JobEnds::StoppedBy(const std::string& name,
                                const executor::ExitStatus& exit) {
  if (!exit.cancelled && !exit.lost_node && !exit.time_limit) {
    return absl::OkStatus();
  }
  if (exit.cancelled) NoWait(name);
  return store_
      ->Update(
          name,
          [&](jobs::JobRecord& r, Events* events) {
            if (r.job.state() != J::STATE_QUEUED) return absl::OkStatus();
            if (exit.cancelled) {
              r.job.set_state(J::STATE_CANCELLED);
              r.job.set_state_reason(exit.ToString());
            } else {
              events->push_back({v1::JobEvent::KIND_WARNING, exit.ToString()});
            }
            return absl::OkStatus();
          })
      .status();
}

absl::Status JobEnds::Lost(const std::string& name, const std::string& cause,
                           const std::string& details) {
  RETORT_RETURN_IF_ERROR(LookForCheckpoints(name));
  const bool goes_on = HasCheckpoint(name);
  RETORT_ASSIGN_OR_RETURN(
      const jobs::JobRecord record,
      store_->Update(name, [&](jobs::JobRecord& r, Events* events) {
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
  NoWait(name);
  if (record.job.state() == J::STATE_QUEUED) {
    const int doublings =
        static_cast<int>(std::clamp<int64_t>(record.failures - 1, 0, 6));
    delays_[name].until = clock_->Now() + options_.backoff * (1 << doublings);
  }
  return absl::OkStatus();
}

absl::Status JobEnds::LostNode(const std::string& name,
                               const std::string& cause) {
  RETORT_RETURN_IF_ERROR(LookForCheckpoints(name));
  RETORT_RETURN_IF_ERROR(
      Requeue(name, absl::StrCat(cause, "; ", WhatNext(name)),
              absl::StrCat(cause,
                           "; not counted as a failure of the job, "
                           "however often it happens")));
  Wait(name);
  return absl::OkStatus();
}

absl::Status JobEnds::Requeue(const std::string& name,
                              const std::string& reason) {
  RETORT_RETURN_IF_ERROR(LookForCheckpoints(name));
  return Requeue(name, reason, "");
}

absl::Status JobEnds::Requeue(const std::string& name,
                              const std::string& reason,
                              const std::string& warning) {
  return store_
      ->Update(name,
               [&](jobs::JobRecord& r, Events* events) {
                 if (!jobs::HasWorker(r.job.state())) return absl::OkStatus();
                 if (!warning.empty()) {
                   events->push_back({v1::JobEvent::KIND_WARNING, warning});
                 }
                 r.job.set_state(AskedOr(r.job.state(), J::STATE_QUEUED));
                 r.job.set_state_reason(reason);
                 return absl::OkStatus();
               })
      .status();
}

absl::Status JobEnds::PutOff(const std::string& name,
                             const std::string& reason) {
  RETORT_RETURN_IF_ERROR(
      Requeue(name, absl::StrCat(reason, "; it is tried again")));
  Wait(name);
  return absl::OkStatus();
}

void JobEnds::Wait(const std::string& name) {
  Delay& delay = delays_[name];
  const int doublings = std::min(delay.waits++, 20);
  delay.until = clock_->Now() + std::min(options_.first_wait * (1 << doublings),
                                         options_.max_wait);
}

absl::Time JobEnds::NotBefore(const std::string& name) const {
  const auto found = delays_.find(name);
  return found == delays_.end() ? absl::InfinitePast() : found->second.until;
}

}  // namespace retort::scheduler
