#ifndef RETORT_CORE_TRAIN_TRAINER_H_
#define RETORT_CORE_TRAIN_TRAINER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/base/run_dir.h"
#include "core/comm/communicator.h"
#include "core/comm/gradient_reducer.h"
#include "core/data/dataset.h"
#include "core/distill/distance.h"
#include "core/io/model_manifest.h"
#include "core/io/safetensors.h"
#include "core/math/jump.h"
#include "core/nn/denoiser.h"
#include "core/train/fence.h"
#include "core/train/objective.h"
#include "core/train/progress.h"
#include "core/train/run_checkpoints.h"
#include "core/train/train_options.h"
#include "core/train/train_state.h"

namespace retort::train {

// What a run works on and with. Pointers are not owned and outlive the trainer.
struct TrainParts {
  const data::Dataset* dataset = nullptr;

  // Trained in place. MakeStudent() makes one from a teacher.
  std::shared_ptr<nn::EdmDenoiser> student;
  std::shared_ptr<nn::EdmDenoiser> teacher;       // CM (or none: CT), CTM
  std::shared_ptr<const math::JumpPrecond> jump;  // CM, CTM
  // Of the distance "lpips", before TrainOptions::distance's resizing.
  std::shared_ptr<const distill::Distance> perceptual = nullptr;

  // Checkpoints go to checkpoints_dir(), the model to result_dir().
  base::JobDir job_dir{""};

  // For the model's manifest. The trainer adds to lineage what it knows itself:
  // the data's hash, the seed, steps and images.
  nlohmann::json preconditioning = nlohmann::json::object();
  nlohmann::json lineage = nlohmann::json::object();
  // What of the preconditioning goes beside the weights; names without
  // io::kPreconditioningPrefix.
  io::TensorMap preconditioning_tensors;

  // Measures a state dict with the averages of the weights; for
  // TrainOptions::validate_every. An error is a warning, but Cancelled, which
  // is silent. Must not touch the run's networks or randomness.
  std::function<absl::StatusOr<Metrics>(const io::TensorMap& weights)> validate;

  // The ranks that train together; null: this one alone. Every rank has the
  // same options, data and network.
  comm::Communicator* comm = nullptr;
  comm::ReducerOptions reduction = {};

  // Folder of another run's checkpoint that a run without any of its own begins
  // with: same network and method, other settings may differ. Empty: none.
  std::string start_from = "";

  // Returns an objective around the given one. A seam for tests, which make
  // numbers non-finite there; usually empty.
  std::function<std::unique_ptr<Objective>(std::unique_ptr<Objective>)>
      wrap_objective;

  // Asked before anything is written to job_dir or removed from it.
  Fence fence;

  ProgressListener* listener = nullptr;  // may be null
  ControlFlags* control = nullptr;       // may be null
  base::Clock* clock = nullptr;          // null means the real one
};

enum class Outcome { kSucceeded, kPaused };

struct TrainResult {
  Outcome outcome = Outcome::kSucceeded;
  int64_t step = 0;
  std::string model_dir;       // of a run that succeeded
  io::ModelManifest manifest;  // likewise
};

// Trains one network: a teacher (EDM), a consistency model or a consistency
// trajectory model.
//
//   RETORT_ASSIGN_OR_RETURN(auto trainer, Trainer::Create(options, parts));
//   RETORT_ASSIGN_OR_RETURN(TrainResult result, trainer->Run());
//
// Run() first looks for a checkpoint in the job's directory and goes on from
// the newest whole one. Data order, noise, times and dropout are functions of
// (seed, step, index within the batch), and a checkpoint holds everything else,
// so an interrupted run gives the same weights as one that was not: bit for bit
// on a CPU with the same number of threads.
//
// Of W ranks, rank r trains on samples [r n / W, (r + 1) n / W) of each step's
// n: data, noise and times are functions of the sample's index in the step, so
// that they are the same for every W (dropout masks, which are drawn per part
// of a batch, are not). Rank 0 alone reads and writes checkpoints, writes the
// model and validates; what it starts from it hands to the others. All stop at
// the same step. An error on one rank ends the others with Unavailable, as does
// a rank that vanishes. Resumed at the same W, the bytes are the same.
//
// Checkpoints are written while the training goes on, after a copy; one that is
// due while the last is still being written waits for it.
//
// Non-finite numbers (TrainOptions::nonfinite_policy) never train on silently.
// A rollback loads the newest good checkpoint and saves it again with a stream
// position (Counters::skip_ahead) after the bad stretch, so that a run that is
// interrupted and resumed at any point takes the same way. Only checkpoints of
// step 0 and of every checkpoint_every steps are good ones, and only outside of
// bad stretches: a pause, which writes one of its own, must change nothing.
//
// Everything, the listener included, runs on the calling thread.
class Trainer {
 public:
  // InvalidArgument when the options are bad or the parts do not fit each
  // other, with the field and the remedy.
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(
      const TrainOptions& options, const TrainParts& parts);

  // Trains to options.iterations, or until control says otherwise. Call once.
  //
  // Errors: FailedPrecondition when the numbers stay non-finite (after three
  // rollbacks without a new good checkpoint, if the policy has any), memory
  // runs out, or the checkpoint is of a run with other settings; DataLoss when
  // all checkpoints are damaged; ResourceExhausted when the disk is full as the
  // pausing or the final checkpoint or the model is written: the last good
  // checkpoint stays, and another Run goes on from it (a full disk in between
  // is a warning, and the next checkpoint tries again); Unavailable when
  // another rank is gone or has failed, which is not this run's failure;
  // Internal for whatever else is thrown.
  absl::StatusOr<TrainResult> Run();

  // Instead of Run(): takes step `step` as Run() would, but reads no checkpoint
  // and writes nothing, and returns how long it took. Errors as Run().
  absl::StatusOr<absl::Duration> MeasureStep(int64_t step);

  const TrainState& state() const { return *state_; }

 private:
  Trainer(const TrainOptions& options, const TrainParts& parts);

  absl::StatusOr<TrainResult> RunLoop();
  absl::StatusOr<absl::Duration> TimeStep(int64_t step);
  absl::StatusOr<StepInput> LoadBatch() const;
  absl::Status Step();
  // What becomes of a step.
  enum class Verdict { kTake, kReplace, kSkip, kRolledBack };
  // Counts the step. An error ends the run.
  // `others_norm`: of gradients that the loss scale has no part in.
  absl::StatusOr<Verdict> Judge(double loss, double scaled_norm,
                                double others_norm);
  // Makes numbers of this rank means over all, and asks all what they wish.
  // Nothing with one rank.
  void Exchange(Metrics* metrics, double* norm, double* others_norm);
  // `what` says why. An error ends the run.
  absl::Status RollBack(const std::string& what);
  double LearningRate() const;
  void ReportTick();
  void StartTick();
  void Validate();
  // Whether a rollback may come back to a checkpoint of the present state.
  bool IsGood() const;
  // Whether a checkpoint makes older ones superfluous: one that no rollback
  // could use must not push out one that it could.
  bool Supersedes(bool good) const;
  // Notes that there is a new place to roll back to.
  bool NoteIfGood();
  void TrySaveCheckpoint();
  absl::Status SaveCheckpoint();
  absl::StatusOr<TrainResult> Finish();
  absl::Status WriteModel(TrainResult* result) const;
  void SetActivity(const char* activity);
  void Warn(const std::string& message) const;

  const TrainOptions options_;
  const TrainParts parts_;
  base::Clock* const clock_;
  comm::SingleCommunicator single_;
  comm::Communicator* const comm_;
  nlohmann::json fingerprint_;
  std::unique_ptr<TrainState> state_;
  std::unique_ptr<RunCheckpoints> checkpoints_;
  std::unique_ptr<Objective> objective_;

  // What ControlFlags ask: of one rank right before a step, of several what
  // those of any asked at the end of the last one.
  struct Wishes {
    bool pause = false;
    bool checkpoint = false;
  };
  // Takes checkpoint_now back.
  Wishes OwnWishes() const;
  Wishes wishes_;
  const char* activity_ = "";

  // Since the last tick.
  Metrics sums_;
  int64_t summed_steps_ = 0;
  int64_t tick_images_ = 0;
  int64_t tick_step_ = 0;
  absl::Time tick_time_;
};

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_TRAINER_H_
