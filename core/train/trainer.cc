#include "core/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/data/augment.h"
#include "core/data/data_order.h"
#include "core/io/model_file.h"
#include "core/train/guarded.h"
#include "core/train/run_checks.h"

namespace retort::train {
namespace {

using nlohmann::json;

constexpr int64_t kMaxRollbacks = 3;  // without a new good checkpoint

absl::Status GiveUp(absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat(what,
                   ". Use a smaller optimizer.learning_rate or a larger "
                   "optimizer.warmup_images, and start a new job."));
}

std::string KindOf(Method method) {
  return method == Method::kEdm ? "teacher" : MethodName(method);
}

Retention RetentionOf(const TrainOptions& options) {
  return {options.keep_checkpoints, options.keep_every, options.keep_best,
          options.best_metric};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(
    const TrainOptions& options, const TrainParts& parts) {
  RETORT_RETURN_IF_ERROR(options.Validate());
  if (parts.dataset == nullptr || parts.student == nullptr ||
      parts.job_dir.path().empty()) {
    return absl::InvalidArgumentError(
        "training needs a data set, a network and a job directory");
  }
  RETORT_RETURN_IF_ERROR(CheckData(*parts.dataset, parts.student->config()));
  RETORT_RETURN_IF_ERROR(CheckAugmentation(options, parts.student->config()));
  RETORT_RETURN_IF_ERROR(
      CheckRanks(options, parts.comm != nullptr ? parts.comm->size() : 1));
  auto trainer = std::unique_ptr<Trainer>(new Trainer(options, parts));
  RETORT_ASSIGN_OR_RETURN(trainer->state_,
                          TrainState::Create(options, parts.student));
  RETORT_ASSIGN_OR_RETURN(
      trainer->objective_,
      MakeObjective(options,
                    {parts.student, trainer->state_->target(), parts.teacher,
                     parts.jump, trainer->state_->discriminator(),
                     parts.perceptual, parts.comm, parts.reduction}));
  if (parts.wrap_objective) {
    trainer->objective_ = parts.wrap_objective(std::move(trainer->objective_));
  }
  trainer->checkpoints_ = std::make_unique<RunCheckpoints>(
      parts.job_dir, RetentionOf(options),
      RunCheckpoints::Parts{
          trainer->state_.get(), trainer->comm_, parts.listener,
          trainer->fingerprint_, parts.start_from,
          [t = trainer.get()](const std::string& message) { t->Warn(message); },
          parts.fence, trainer->clock_});
  return trainer;
}

Trainer::Trainer(const TrainOptions& options, const TrainParts& parts)
    : options_(options),
      parts_(parts),
      clock_(parts.clock != nullptr ? parts.clock : base::RealClock()),
      comm_(parts.comm != nullptr ? parts.comm : &single_),
      fingerprint_(options.Fingerprint()) {
  fingerprint_["network"] = parts.student->config().ToJson();
  fingerprint_["data"] = parts.dataset->manifest_hash();
  if (parts.jump != nullptr) {
    fingerprint_["preconditioning"] = std::string(parts.jump->name());
  }
  // Only where it is so: older checkpoints do not have it.
  if (options.method == Method::kCm && parts.teacher == nullptr) {
    fingerprint_["consistency_training"] = true;
  }
}

absl::StatusOr<TrainResult> Trainer::Run() {
  comm_->SetWaitListener([this](const char* what) {
    if (parts_.listener == nullptr) return;
    parts_.listener->OnActivity(what != nullptr ? what : activity_,
                                /*waiting=*/what != nullptr);
  });
  absl::StatusOr<TrainResult> result = Guarded([this] { return RunLoop(); });
  comm_->SetWaitListener(nullptr);
  if (!result.ok()) comm_->Abort(std::string(result.status().message()));
  return result;
}

absl::StatusOr<absl::Duration> Trainer::MeasureStep(int64_t step) {
  return Guarded([this, step] { return TimeStep(step); });
}

absl::StatusOr<absl::Duration> Trainer::TimeStep(int64_t step) {
  state_->counters.step = step;
  const absl::Time start = clock_->Now();
  RETORT_RETURN_IF_ERROR(Step());
  return clock_->Now() - start;
}

absl::StatusOr<TrainResult> Trainer::RunLoop() {
  SetActivity("checkpoint");
  if (comm_->lead()) {
    RETORT_RETURN_IF_ERROR(base::MakeDirs(parts_.job_dir.checkpoints_dir()));
  }
  RETORT_ASSIGN_OR_RETURN(const bool resumed, checkpoints_->Restore());
  const Counters& at = state_->counters;
  if (!parts_.start_from.empty() && at.step >= options_.iterations &&
      !resumed) {
    return absl::InvalidArgumentError(
        absl::StrCat("iterations is ", options_.iterations,
                     ", but the checkpoint to begin with is of step ", at.step,
                     "; they are counted from its start, so give more"));
  }
  const bool rolls_back =
      options_.nonfinite_policy == NonfinitePolicy::kRollBack;
  if (rolls_back && !resumed) TrySaveCheckpoint();
  StartTick();
  if (at.step == 0) Validate();
  Metrics none;
  double no_norm = 0;
  Exchange(&none, &no_norm, &no_norm);
  while (at.step < options_.iterations) {
    checkpoints_->Poll();
    if (comm_->size() == 1) wishes_ = OwnWishes();
    if (wishes_.pause) {
      ReportTick();
      RETORT_RETURN_IF_ERROR(SaveCheckpoint());
      return TrainResult{Outcome::kPaused, at.step};
    }
    if (wishes_.checkpoint) TrySaveCheckpoint();
    const int64_t step = at.step;
    RETORT_RETURN_IF_ERROR(Step());
    if (at.step <= step) continue;  // rolled back
    if (parts_.listener != nullptr) parts_.listener->OnStep(at.step);
    if (at.step % options_.log_every == 0) ReportTick();
    Validate();
    if (options_.checkpoint_every > 0 &&
        at.step % options_.checkpoint_every == 0 &&
        at.step < options_.iterations && (!rolls_back || IsGood())) {
      TrySaveCheckpoint();
    }
  }
  ReportTick();
  return Finish();
}

Trainer::Wishes Trainer::OwnWishes() const {
  if (parts_.control == nullptr) return {};
  return {parts_.control->pause.load(),
          parts_.control->checkpoint_now.exchange(false)};
}

void Trainer::Exchange(Metrics* metrics, double* norm, double* others_norm) {
  if (comm_->size() == 1) return;
  const Wishes own = OwnWishes();
  std::vector<double> values = {*norm, *others_norm, own.pause ? 1.0 : 0.0,
                                own.checkpoint ? 1.0 : 0.0};
  for (const auto& [name, value] : *metrics) values.push_back(value);
  values = comm_->Sum(values);
  const double ranks = comm_->size();
  *norm = values[0] / ranks;
  *others_norm = values[1] / ranks;
  wishes_ = {values[2] > 0, values[3] > 0};
  size_t next = 4;
  for (auto& [name, value] : *metrics) value = values[next++] / ranks;
}

absl::StatusOr<StepInput> Trainer::LoadBatch() const {
  // This rank's share of the step's images.
  const int64_t n = options_.batch_size / comm_->size();
  const int64_t first = n * comm_->rank();
  const int64_t step = state_->counters.stream_step();
  StepInput input;
  input.loss_scale = state_->loss_scale.value();
  input.step = step;
  input.iteration = state_->counters.step;
  std::vector<int64_t> indices(n);
  for (int64_t j = 0; j < n; ++j) {
    input.samples.push_back(first + j);
    indices[j] = data::ShuffledIndex(options_.seed,
                                     step * options_.batch_size + first + j,
                                     parts_.dataset->size());
  }
  at::Tensor images, labels;
  RETORT_RETURN_IF_ERROR(parts_.dataset->Get(indices, &images, &labels));
  const at::TensorOptions target = state_->parameters().front().options();
  images = data::ToFloat(images);
  if (options_.augment_probability > 0) {
    const data::Augmented augmented = data::Augment(
        data::EdmAugmentation(options_.augment_probability), images,
        data::DrawAugment(options_.seed, step, input.samples));
    images = augmented.images;
    input.batch.augment = augmented.labels.to(target);
  }
  input.batch.images = images.to(target);
  const int64_t classes = parts_.student->config().label_dim;
  if (classes > 0) {
    input.batch.labels = at::one_hot(labels, classes).to(target);
  }
  return input;
}

double Trainer::LearningRate() const {
  if (options_.lr_rampup_images == 0) return options_.learning_rate;
  const double ramp = static_cast<double>(state_->counters.images) /
                      static_cast<double>(options_.lr_rampup_images);
  return options_.learning_rate * std::min(ramp, 1.0);
}

absl::Status Trainer::Step() {
  SetActivity("loading data");
  RETORT_ASSIGN_OR_RETURN(const StepInput input, LoadBatch());
  SetActivity("training");
  Metrics metrics = objective_->TakeGradients(input);
  const std::vector<at::Tensor>& parameters = state_->parameters();
  const std::vector<at::Tensor>& adversary = state_->discriminator_parameters();
  double norm = GradientNorm(parameters);
  double others_norm = GradientNorm(adversary);
  Exchange(&metrics, &norm, &others_norm);
  if (state_->loss_scale.dynamic()) metrics["loss_scale"] = input.loss_scale;
  RETORT_ASSIGN_OR_RETURN(const Verdict verdict,
                          Judge(metrics["loss"], norm, others_norm));
  if (verdict == Verdict::kRolledBack) return absl::OkStatus();
  if (verdict == Verdict::kReplace) {
    ReplaceNonFiniteGradients(parameters);
    ReplaceNonFiniteGradients(adversary);
    norm = GradientNorm(parameters);
  }
  metrics["gradient_norm"] = norm;
  metrics["learning_rate"] = LearningRate();
  if (verdict != Verdict::kSkip) {
    if (const double most = options_.max_gradient_norm; most > 0) {
      metrics["gradient_clipped"] = norm > most ? 1 : 0;
      if (norm > most) ScaleGradients(parameters, most / norm);
    }
    state_->optimizer().Step(LearningRate());
    state_->StepDiscriminator();
    state_->UpdateAverages();
    for (const auto& [name, value] : metrics) sums_[name] += value;
    ++summed_steps_;
  }
  state_->counters.images += options_.batch_size;
  ++state_->counters.step;
  return absl::OkStatus();
}

absl::StatusOr<Trainer::Verdict> Trainer::Judge(double loss, double scaled_norm,
                                                double others_norm) {
  const double gradient_norm = scaled_norm + others_norm;
  Counters& at = state_->counters;
  if (std::isfinite(loss) && std::isfinite(gradient_norm)) {
    at.skipped_in_a_row = 0;
    state_->loss_scale.CountGood();
    return Verdict::kTake;
  }
  const std::string what = absl::StrCat("step ", at.step, " gave loss ", loss,
                                        " and gradient norm ", gradient_norm);
  // The scale is to blame first; it cannot shrink for ever.
  if (std::isfinite(loss) && std::isfinite(others_norm) &&
      state_->loss_scale.Halve()) {
    ++at.skipped;
    // A halving now and then is how a loss scale finds its place, and is in
    // the metrics; one that has no room left is news.
    const std::string halved =
        absl::StrCat(what, " in float16; it was skipped, and the loss scale ",
                     "halved to ", state_->loss_scale.value());
    if (state_->loss_scale.value() > LossScale::kMin) {
      RETORT_LOG(info, "{}", halved);
    } else {
      Warn(absl::StrCat(halved, ", its least: gradients that overflow now ",
                        "are counted as non-finite. Use bf16 or fp32 if they ",
                        "do."));
    }
    return Verdict::kSkip;
  }
  const bool replace = options_.nonfinite_policy == NonfinitePolicy::kReplace &&
                       std::isfinite(loss);
  if (!replace) ++at.skipped;
  if (++at.skipped_in_a_row >= options_.max_nonfinite_steps) {
    const std::string last = absl::StrCat(
        what, "; steps in a row without finite numbers: ", at.skipped_in_a_row);
    if (options_.nonfinite_policy != NonfinitePolicy::kRollBack) {
      return GiveUp(last);
    }
    RETORT_RETURN_IF_ERROR(RollBack(last));
    return Verdict::kRolledBack;
  }
  Warn(absl::StrCat(
      what, replace ? "; its gradient was mended" : "; it was skipped"));
  return replace ? Verdict::kReplace : Verdict::kSkip;
}

absl::Status Trainer::RollBack(const std::string& what) {
  Counters& at = state_->counters;
  const Counters bad = at;
  RETORT_ASSIGN_OR_RETURN(const bool found, checkpoints_->GoBack());
  if (!found) {
    return GiveUp(what + ", and there is no good checkpoint to go back to");
  }
  at.skipped = bad.skipped;
  ++at.rollbacks;
  if (at.rollbacks > kMaxRollbacks) {
    return GiveUp(
        absl::StrCat(what, ", and going back ", kMaxRollbacks,
                     " times to the checkpoint of step ", at.step,
                     ", each time on with other data, led to no new one"));
  }
  at.skip_ahead = bad.stream_step() + 1 - at.step;
  Warn(absl::StrCat(what, "; went back to the checkpoint of step ", at.step,
                    " (time ", at.rollbacks, " of ", kMaxRollbacks,
                    "), and on with the data after the bad stretch"));
  // What must survive an interruption: how far to skip, how often it was tried.
  RETORT_RETURN_IF_ERROR(checkpoints_->SaveRolledBack());
  sums_.clear();
  summed_steps_ = 0;
  StartTick();
  return absl::OkStatus();
}

void Trainer::StartTick() {
  tick_time_ = clock_->Now();
  tick_images_ = state_->counters.images;
  tick_step_ = state_->counters.step;
}

void Trainer::ReportTick() {
  const Counters& at = state_->counters;
  if (at.step == tick_step_) return;
  const absl::Time now = clock_->Now();
  const double seconds = absl::ToDoubleSeconds(now - tick_time_);
  Tick tick;
  tick.step = at.step;
  tick.iterations = options_.iterations;
  tick.images = at.images;
  tick.skipped = at.skipped;
  for (const auto& [name, sum] : sums_) {
    tick.metrics[name] = sum / summed_steps_;
  }
  if (seconds > 0)
    tick.images_per_second = (at.images - tick_images_) / seconds;
  tick.remaining = absl::Seconds(seconds / (at.step - tick_step_) *
                                 (options_.iterations - at.step));
  sums_.clear();
  summed_steps_ = 0;
  StartTick();
  if (!comm_->lead()) return;
  for (const auto& [name, value] : tick.metrics) {
    checkpoints_->SetMetric(name, value);
  }
  if (parts_.listener != nullptr) parts_.listener->OnTick(tick);
}

void Trainer::Validate() {
  const int64_t step = state_->counters.step;
  if (options_.validate_every == 0 || !parts_.validate || !comm_->lead()) {
    return;
  }
  if (step % options_.validate_every != 0 && step != options_.iterations) {
    return;
  }
  SetActivity("validation");
  const absl::Time start = clock_->Now();
  const absl::StatusOr<Metrics> metrics =
      parts_.validate(state_->AveragedWeights());
  tick_time_ += clock_->Now() - start;  // no part of the training's speed
  if (metrics.ok()) {
    for (const auto& [name, value] : *metrics) {
      checkpoints_->SetMetric(name, value);
    }
    if (parts_.listener != nullptr) {
      parts_.listener->OnValidation(step, *metrics);
    }
  } else if (!absl::IsCancelled(metrics.status())) {
    Warn(absl::StrCat("validation at step ", step, " failed: ",
                      metrics.status().message(), ". Training goes on."));
  }
}

bool Trainer::IsGood() const {
  const int64_t step = state_->counters.step;
  const int64_t every = options_.checkpoint_every;
  return (step == checkpoints_->first_step() ||
          (every > 0 && step % every == 0)) &&
         state_->Good();
}

bool Trainer::Supersedes(bool good) const {
  return good || options_.nonfinite_policy != NonfinitePolicy::kRollBack;
}

bool Trainer::NoteIfGood() {
  const bool good = IsGood();
  if (good && checkpoints_->saved_step() != state_->counters.step) {
    state_->counters.rollbacks = 0;
  }
  return good;
}

void Trainer::TrySaveCheckpoint() {
  SetActivity("checkpoint");
  const bool good = NoteIfGood();
  checkpoints_->TrySave(good, Supersedes(good));
}

absl::Status Trainer::SaveCheckpoint() {
  SetActivity("checkpoint");
  const bool good = NoteIfGood();
  return checkpoints_->Save(good, Supersedes(good));
}

absl::StatusOr<TrainResult> Trainer::Finish() {
  RETORT_RETURN_IF_ERROR(SaveCheckpoint());
  TrainResult result{Outcome::kSucceeded, state_->counters.step,
                     parts_.job_dir.result_dir()};
  absl::Status written;
  if (comm_->lead()) written = WriteModel(&result);
  RETORT_RETURN_IF_ERROR(checkpoints_->Share(written));
  return result;
}

absl::Status Trainer::WriteModel(TrainResult* result) const {
  const Counters& at = state_->counters;
  io::ModelManifest manifest;
  manifest.kind = KindOf(options_.method);
  manifest.network = parts_.student->config().ToJson();
  manifest.preconditioning = parts_.preconditioning;
  manifest.lineage = parts_.lineage;
  manifest.lineage["data_hash"] = parts_.dataset->manifest_hash();
  manifest.lineage["seed"] = options_.seed;
  manifest.lineage["steps"] = at.step;
  manifest.lineage["images"] = at.images;
  manifest.lineage["run"] = fingerprint_;
  io::TensorMap tensors = state_->AveragedWeights();
  for (const auto& [name, tensor] : parts_.preconditioning_tensors) {
    tensors[io::kPreconditioningPrefix + name] = tensor;
  }
  return PlaceDir(parts_.fence, result->model_dir,
                  [&](const std::string& directory) -> absl::Status {
                    RETORT_ASSIGN_OR_RETURN(
                        result->manifest,
                        io::WriteModelDir(directory, manifest, tensors));
                    return absl::OkStatus();
                  });
}

void Trainer::SetActivity(const char* activity) {
  activity_ = activity;
  if (parts_.listener != nullptr) {
    parts_.listener->OnActivity(activity, /*waiting=*/false);
  }
}

void Trainer::Warn(const std::string& message) const {
  if (!comm_->lead()) return;  // all ranks find the same
  RETORT_LOG(warn, "{}", message);
  if (parts_.listener != nullptr) parts_.listener->OnWarning(message);
}

}  // namespace retort::train
