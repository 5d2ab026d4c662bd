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

namespace retort::train {
namespace {

using nlohmann::json;

absl::Status CheckData(const data::Dataset& dataset,
                       const nn::NetworkConfig& net) {
  if (dataset.resolution() != net.img_resolution ||
      dataset.channels() != net.img_channels) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data set ", dataset.name(), " has ", dataset.channels(), " x ",
        dataset.resolution(), "^2 images, the network takes ", net.img_channels,
        " x ", net.img_resolution,
        "^2; set img_channels and img_resolution to the data's"));
  }
  if (net.label_dim != 0 && net.label_dim != dataset.label_dim()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data set ", dataset.name(), " has ", dataset.label_dim(),
        " classes, the network ", net.label_dim,
        "; set label_dim to the data's, or 0 for an unconditional network"));
  }
  return absl::OkStatus();
}

absl::Status CheckAugmentation(const TrainOptions& options,
                               const nn::NetworkConfig& net) {
  const int64_t wanted =
      data::AugmentLabelDim(data::EdmAugmentation(options.augment_probability));
  if (options.augment_probability == 0 || net.augment_dim == wanted) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "augmentation tells the network ", wanted, " numbers, and it takes ",
      net.augment_dim, "; set augment_dim to ", wanted));
}

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

absl::Status OutOfMemory(const std::string& what) {
  return absl::FailedPreconditionError(
      absl::StrCat("out of memory while training: ", what,
                   ". Use a smaller batch_size, or a machine with more "
                   "memory."));
}

absl::Status FromException(const c10::Error& error) {
  const std::string what = error.what_without_backtrace();
  const bool memory =
      dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
      what.find("not enough memory") != std::string::npos;
  if (memory) return OutOfMemory(what);
  return absl::InternalError(absl::StrCat("while training: ", what));
}

// Calls `body`; what LibTorch throws becomes a status.
template <typename Body>
auto Guarded(const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const c10::Error& error) {
    return FromException(error);
  } catch (const std::bad_alloc& error) {
    return OutOfMemory(error.what());
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("while training: ", error.what()));
  }
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
  auto trainer = std::unique_ptr<Trainer>(new Trainer(options, parts));
  RETORT_ASSIGN_OR_RETURN(trainer->state_,
                          TrainState::Create(options, parts.student));
  RETORT_ASSIGN_OR_RETURN(
      trainer->objective_,
      MakeObjective(
          options,
          {parts.student, trainer->state_->target(), parts.teacher, parts.jump,
           trainer->state_->discriminator(), parts.perceptual}));
  if (parts.wrap_objective) {
    trainer->objective_ = parts.wrap_objective(std::move(trainer->objective_));
  }
  return trainer;
}

Trainer::Trainer(const TrainOptions& options, const TrainParts& parts)
    : options_(options),
      parts_(parts),
      clock_(parts.clock != nullptr ? parts.clock : base::RealClock()),
      checkpoints_(parts.job_dir, options.keep_checkpoints,
                   [this](const std::string& message) { Warn(message); }),
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
  return Guarded([this] { return RunLoop(); });
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
  RETORT_RETURN_IF_ERROR(base::MakeDirs(parts_.job_dir.checkpoints_dir()));
  RETORT_RETURN_IF_ERROR(Restore());
  const Counters& at = state_->counters;
  ControlFlags none;
  ControlFlags& control = parts_.control != nullptr ? *parts_.control : none;
  const bool rolls_back =
      options_.nonfinite_policy == NonfinitePolicy::kRollBack;
  if (rolls_back && saved_step_ < 0) TrySaveCheckpoint();
  StartTick();
  if (at.step == 0) Validate();
  while (at.step < options_.iterations) {
    if (control.pause.load()) {
      ReportTick();
      RETORT_RETURN_IF_ERROR(SaveCheckpoint());
      return TrainResult{Outcome::kPaused, at.step};
    }
    if (control.checkpoint_now.exchange(false)) TrySaveCheckpoint();
    const int64_t step = at.step;
    RETORT_RETURN_IF_ERROR(Step());
    if (at.step <= step) continue;  // rolled back
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

absl::Status Trainer::Restore() {
  RETORT_ASSIGN_OR_RETURN(std::optional<Checkpoint> checkpoint,
                          checkpoints_.LoadNewest());
  if (!checkpoint.has_value()) return absl::OkStatus();
  RETORT_RETURN_IF_ERROR(state_->Restore(*checkpoint, fingerprint_));
  saved_step_ = checkpoint->step;
  RETORT_LOG(info, "resumed from the checkpoint of step {}", checkpoint->step);
  return absl::OkStatus();
}

absl::StatusOr<StepInput> Trainer::LoadBatch() const {
  const int64_t n = options_.batch_size;
  const int64_t step = state_->counters.stream_step();
  StepInput input;
  input.loss_scale = state_->loss_scale.value();
  input.step = step;
  input.iteration = state_->counters.step;
  std::vector<int64_t> indices(n);
  for (int64_t j = 0; j < n; ++j) {
    input.samples.push_back(j);
    indices[j] = data::ShuffledIndex(options_.seed, step * n + j,
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
  RETORT_ASSIGN_OR_RETURN(const StepInput input, LoadBatch());
  Metrics metrics = objective_->TakeGradients(input);
  const std::vector<at::Tensor>& parameters = state_->parameters();
  const std::vector<at::Tensor>& adversary = state_->discriminator_parameters();
  double norm = GradientNorm(parameters);
  if (state_->loss_scale.dynamic()) metrics["loss_scale"] = input.loss_scale;
  RETORT_ASSIGN_OR_RETURN(
      const Verdict verdict,
      Judge(metrics["loss"], norm, GradientNorm(adversary)));
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
  RETORT_ASSIGN_OR_RETURN(const std::optional<Checkpoint> good,
                          checkpoints_.LoadNewest(/*good_only=*/true));
  if (!good.has_value()) {
    return GiveUp(what + ", and there is no good checkpoint to go back to");
  }
  RETORT_RETURN_IF_ERROR(state_->Restore(*good, fingerprint_));
  at.skipped = bad.skipped;
  at.rollbacks = std::max(at.rollbacks, bad.rollbacks) + 1;
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
  RETORT_RETURN_IF_ERROR(checkpoints_.RemoveAfter(at.step));
  // What must survive an interruption: how far to skip, how often it was tried.
  saved_step_ = -1;
  const absl::Status saved = WriteCheckpoint(/*good=*/true);
  if (!saved.ok()) Warn(absl::StrCat(saved.message(), ". Training goes on."));
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
  if (parts_.listener != nullptr) parts_.listener->OnTick(tick);
}

void Trainer::Validate() {
  const int64_t step = state_->counters.step;
  if (options_.validate_every == 0 || !parts_.validate) return;
  if (step % options_.validate_every != 0 && step != options_.iterations) {
    return;
  }
  const absl::Time start = clock_->Now();
  const absl::StatusOr<Metrics> metrics =
      parts_.validate(state_->AveragedWeights());
  tick_time_ += clock_->Now() - start;  // no part of the training's speed
  if (metrics.ok()) {
    if (parts_.listener != nullptr) {
      parts_.listener->OnValidation(step, *metrics);
    }
  } else if (!absl::IsCancelled(metrics.status())) {
    Warn(absl::StrCat("validation at step ", step, " failed: ",
                      metrics.status().message(), ". Training goes on."));
  }
}

absl::Status Trainer::SaveCheckpoint() {
  if (state_->counters.step == saved_step_) return absl::OkStatus();
  const bool good = IsGood();
  if (good) state_->counters.rollbacks = 0;
  return WriteCheckpoint(good);
}

bool Trainer::IsGood() const {
  const int64_t step = state_->counters.step;
  const int64_t every = options_.checkpoint_every;
  return (step == 0 || (every > 0 && step % every == 0)) && state_->Good();
}

absl::Status Trainer::WriteCheckpoint(bool good) {
  const int64_t step = state_->counters.step;
  // One that no rollback could use must not push out one that it could.
  const bool remove_old =
      good || options_.nonfinite_policy != NonfinitePolicy::kRollBack;
  Checkpoint checkpoint = state_->ToCheckpoint(fingerprint_);
  checkpoint.state["good"] = good;
  RETORT_ASSIGN_OR_RETURN(const json manifest,
                          checkpoints_.Save(checkpoint, remove_old));
  saved_step_ = step;
  if (parts_.listener != nullptr) {
    parts_.listener->OnCheckpoint(step, checkpoints_.Path(step), manifest);
  }
  return absl::OkStatus();
}

void Trainer::TrySaveCheckpoint() {
  const absl::Status saved = SaveCheckpoint();
  if (saved.ok()) return;
  Warn(absl::StrCat(saved.message(), ".",
                    saved_step_ >= 0
                        ? absl::StrCat(" The checkpoint of step ", saved_step_,
                                       " is untouched.")
                        : std::string(),
                    " Training goes on; the next checkpoint tries again."));
}

absl::StatusOr<TrainResult> Trainer::Finish() {
  const Counters& at = state_->counters;
  RETORT_RETURN_IF_ERROR(SaveCheckpoint());
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
  TrainResult result{Outcome::kSucceeded, at.step, parts_.job_dir.result_dir()};
  io::TensorMap tensors = state_->AveragedWeights();
  for (const auto& [name, tensor] : parts_.preconditioning_tensors) {
    tensors[io::kPreconditioningPrefix + name] = tensor;
  }
  RETORT_ASSIGN_OR_RETURN(
      result.manifest, io::WriteModelDir(result.model_dir, manifest, tensors));
  return result;
}

void Trainer::Warn(const std::string& message) const {
  RETORT_LOG(warn, "{}", message);
  if (parts_.listener != nullptr) parts_.listener->OnWarning(message);
}

}  // namespace retort::train
