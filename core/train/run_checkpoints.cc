#include "core/train/run_checkpoints.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"

namespace retort::train {
namespace {

using nlohmann::json;

// A write that is shorter is waited for without a word.
constexpr absl::Duration kSlowWrite = absl::Seconds(10);

std::string StatusText(const absl::Status& status) {
  return json({{"code", static_cast<int>(status.code())},
               {"message", std::string(status.message())}})
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

absl::Status StatusOf(const json& text) {
  return absl::Status(static_cast<absl::StatusCode>(text.value("code", 2)),
                      text.value("message", ""));
}

}  // namespace

RunCheckpoints::RunCheckpoints(base::JobDir dir, const Retention& retention,
                               Parts parts)
    : parts_(std::move(parts)),
      retention_(retention),
      // The writer's thread warns too, and listeners hear of it on this one.
      store_(
          std::move(dir), retention,
          [this](const std::string& message) {
            absl::MutexLock lock(&mutex_);
            warnings_.push_back(message);
          },
          parts_.fence),
      writer_(&store_) {}

absl::StatusOr<bool> RunCheckpoints::Restore() {
  absl::StatusOr<bool> found = false;
  if (parts_.comm->lead()) found = LoadOrBegin();
  RETORT_ASSIGN_OR_RETURN(const bool resumed, Distribute(found));
  if (!resumed) first_step_ = parts_.state->counters.step;
  return resumed;
}

absl::StatusOr<bool> RunCheckpoints::LoadOrBegin() {
  TrainState& state = *parts_.state;
  store_.Sweep();
  RETORT_ASSIGN_OR_RETURN(const std::optional<Checkpoint> own,
                          store_.LoadNewest());
  if (own.has_value()) {
    RETORT_RETURN_IF_ERROR(state.Restore(*own, parts_.fingerprint));
    saved_step_ = own->step;
    metric_ = CheckpointMetric(own->state, retention_.metric);
    RETORT_LOG(info, "resumed from the checkpoint of step {}", own->step);
    return true;
  }
  if (parts_.start_from.empty()) return false;
  RETORT_ASSIGN_OR_RETURN(const Checkpoint other,
                          LoadCheckpoint(parts_.start_from));
  RETORT_RETURN_IF_ERROR(state.BeginWith(other, parts_.fingerprint));
  RETORT_LOG(info, "begins with the checkpoint {}", parts_.start_from);
  return false;
}

absl::StatusOr<bool> RunCheckpoints::GoBack() {
  Settle();
  absl::StatusOr<bool> found = false;
  if (parts_.comm->lead()) found = LoadGood();
  return Distribute(found);
}

absl::StatusOr<bool> RunCheckpoints::LoadGood() {
  RETORT_ASSIGN_OR_RETURN(const std::optional<Checkpoint> good,
                          store_.LoadNewest(/*good_only=*/true));
  if (!good.has_value()) return false;
  Counters& at = parts_.state->counters;
  const int64_t rollbacks = at.rollbacks;
  RETORT_RETURN_IF_ERROR(parts_.state->Restore(*good, parts_.fingerprint));
  at.rollbacks = std::max(at.rollbacks, rollbacks);
  return true;
}

absl::StatusOr<bool> RunCheckpoints::Distribute(
    const absl::StatusOr<bool>& found) {
  TellWarnings();
  comm::Communicator& comm = *parts_.comm;
  if (comm.size() == 1) return found;
  RETORT_RETURN_IF_ERROR(Share(found.status()));
  TrainState& state = *parts_.state;
  const json news = json::parse(comm.BroadcastText(
      comm.lead() ? json({{"found", *found},
                          {"state", state.ToJson(parts_.fingerprint)}})
                        .dump()
                  : ""));
  if (!comm.lead()) {
    const absl::Status same =
        state.RestoreJson(news["state"], parts_.fingerprint);
    if (!same.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "rank ", comm.rank(), " is not set up as rank 0: ", same.message()));
    }
  }
  comm.BroadcastAll(state.AllTensors());
  return news["found"].get<bool>();
}

Checkpoint RunCheckpoints::Present(bool good) const {
  Checkpoint checkpoint = parts_.state->ToCheckpoint(parts_.fingerprint);
  checkpoint.state["good"] = good;
  if (metric_.has_value()) {
    SetCheckpointMetric(retention_.metric, *metric_, &checkpoint.state);
  }
  return checkpoint;
}

void RunCheckpoints::SetMetric(const std::string& name, double value) {
  if (name == retention_.metric) metric_ = value;
}

void RunCheckpoints::Tell(int64_t step, const json& manifest) {
  saved_step_ = step;
  if (parts_.listener != nullptr) {
    parts_.listener->OnCheckpoint(step, store_.Path(step), manifest);
  }
}

void RunCheckpoints::WarnOfFailure(const absl::Status& status) const {
  parts_.warn(absl::StrCat(
      status.message(), ".",
      saved_step_ >= 0 ? absl::StrCat(" The checkpoint of step ", saved_step_,
                                      " is untouched.")
                       : std::string(),
      " Training goes on; the next checkpoint tries again."));
}

void RunCheckpoints::WarnOfSlowness() {
  const std::optional<int64_t> step = writer_.under_way();
  if (!step.has_value() || told_of_waiting_) return;
  const absl::Duration spent = parts_.clock->Now() - write_began_;
  if (spent < kSlowWrite) return;
  told_of_waiting_ = true;
  parts_.warn(absl::StrCat(
      "the checkpoint of step ", *step, " has been in the writing for ",
      absl::ToInt64Seconds(spent), " s when the next one is due: training ",
      "waits for it, here and wherever that happens again. Set a larger ",
      "training.checkpoint_every, or give the data folder a faster disk."));
}

void RunCheckpoints::TellWarnings() {
  std::vector<std::string> warnings;
  {
    absl::MutexLock lock(&mutex_);
    warnings.swap(warnings_);
  }
  for (const std::string& message : warnings) parts_.warn(message);
}

void RunCheckpoints::Finished(const CheckpointWriter::Written& written) {
  if (written.manifest.ok()) {
    Tell(written.step, *written.manifest);
  } else {
    WarnOfFailure(written.manifest.status());
  }
  TellWarnings();
}

void RunCheckpoints::Poll() {
  if (const auto written = writer_.Take()) Finished(*written);
}

void RunCheckpoints::Settle() {
  if (const auto written = writer_.Wait()) Finished(*written);
}

void RunCheckpoints::TrySave(bool good, bool remove_old) {
  const int64_t step = parts_.state->counters.step;
  if (!parts_.comm->lead() || writer_.under_way() == step) return;
  Poll();
  WarnOfSlowness();
  Settle();
  if (saved_step_ == step) return;
  write_began_ = parts_.clock->Now();
  writer_.Start(Present(good), remove_old);
}

absl::Status RunCheckpoints::Save(bool good, bool remove_old) {
  absl::Status status;
  if (parts_.comm->lead()) {
    Settle();
    const int64_t step = parts_.state->counters.step;
    if (saved_step_ != step) {
      // Nothing else is to be done meanwhile: no copy.
      const auto manifest = store_.Save(Present(good), remove_old);
      status = manifest.status();
      if (status.ok()) Tell(step, *manifest);
      TellWarnings();
    }
  }
  return Share(status);
}

absl::Status RunCheckpoints::SaveRolledBack() {
  if (!parts_.comm->lead()) return Share(absl::OkStatus());
  const int64_t step = parts_.state->counters.step;
  saved_step_ = -1;
  const absl::Status removed = store_.RemoveAfter(step);
  RETORT_RETURN_IF_ERROR(Share(removed));
  const auto manifest = store_.Save(Present(/*good=*/true));
  if (manifest.ok()) {
    Tell(step, *manifest);
  } else {
    parts_.warn(
        absl::StrCat(manifest.status().message(), ". Training goes on."));
  }
  TellWarnings();
  return absl::OkStatus();
}

absl::Status RunCheckpoints::Share(const absl::Status& status) {
  comm::Communicator& comm = *parts_.comm;
  if (comm.size() == 1) return status;
  const absl::Status shared =
      StatusOf(json::parse(comm.BroadcastText(StatusText(status))));
  comm.Barrier();
  return comm.lead() ? status : shared;
}

}  // namespace retort::train
