#ifndef RETORT_CORE_TRAIN_TRAIN_STATE_H_
#define RETORT_CORE_TRAIN_TRAIN_STATE_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/distill/discriminator.h"
#include "core/io/safetensors.h"
#include "core/nn/denoiser.h"
#include "core/train/checkpoint.h"
#include "core/train/ema.h"
#include "core/train/loss_scale.h"
#include "core/train/optimizer.h"
#include "core/train/train_options.h"

namespace retort::train {

// Where a run is.
struct Counters {
  int64_t step = 0;     // iterations done, skipped ones included
  int64_t images = 0;   // images seen
  int64_t skipped = 0;  // steps left out for non-finite numbers
  // The latest uninterrupted steps with non-finite numbers, skipped or mended.
  int64_t skipped_in_a_row = 0;
  // Steps' worth of data and noise that rollbacks have passed over. Everything
  // random is a function of stream_step().
  int64_t skip_ahead = 0;
  int64_t rollbacks = 0;  // since the last new good checkpoint

  int64_t stream_step() const { return step + skip_ahead; }

  nlohmann::json ToJson() const;
};

// All that changes while training: the student, its stop-gradient average
// (CM, CTM), the averages, the optimiser, the discriminator (with gan) and its
// own, and the counters. Converts to and from
// a checkpoint. Thread-compatible.
class TrainState {
 public:
  // Shares `student`, whose present weights are the start of every average.
  // InvalidArgument from the optimiser's options.
  static absl::StatusOr<std::unique_ptr<TrainState>> Create(
      const TrainOptions& options, std::shared_ptr<nn::EdmDenoiser> student);

  const std::shared_ptr<nn::EdmDenoiser>& student() const { return student_; }
  // Null for EDM. Its parameters do not require gradients.
  const std::shared_ptr<nn::EdmDenoiser>& target() const { return target_; }
  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  Optimizer& optimizer() { return *optimizer_; }
  // Null, and empty, without gan. Its weights follow from the run's seed.
  const std::shared_ptr<distill::Discriminator>& discriminator() const {
    return discriminator_;
  }
  const std::vector<at::Tensor>& discriminator_parameters() const {
    return discriminator_parameters_;
  }

  // Steps the discriminator, if there is one, by its gradients.
  void StepDiscriminator();

  // Moves every average towards the student's weights. Call after the
  // optimiser's step and before the counters move on.
  void UpdateAverages();

  // Returns the student's state dict with the first average's weights.
  io::TensorMap AveragedWeights() const;

  // Whether this is no state within a stretch of non-finite steps, and all
  // weights are numbers.
  bool Good() const;

  // The tensors share memory with this state: write them before the next step.
  Checkpoint ToCheckpoint(const nlohmann::json& fingerprint) const;

  // Takes everything from a checkpoint, or nothing: DataLoss when its tensors
  // or counters are not those of this run; FailedPrecondition, naming the
  // first difference, when the fingerprints differ.
  absl::Status Restore(const Checkpoint& checkpoint,
                       const nlohmann::json& fingerprint);

  // Begins where a run with other settings stopped: takes its weights,
  // averages, moments and counters. What it did not have begins as in a new run
  // (an average: at its weights), and what only it had is left out. Takes
  // everything or nothing: FailedPrecondition, naming the difference, when
  // network or method differ; DataLoss when tensors of the network are missing.
  absl::Status BeginWith(const Checkpoint& checkpoint,
                         const nlohmann::json& fingerprint);

  // Everything but the tensors, as it is in a checkpoint.
  nlohmann::json ToJson(const nlohmann::json& fingerprint) const;
  // Takes that; the tensors are the caller's business. Errors as Restore().
  absl::Status RestoreJson(const nlohmann::json& state,
                           const nlohmann::json& fingerprint);
  // Every tensor that changes, in an order that is the same on all ranks.
  std::vector<at::Tensor> AllTensors() const;

  Counters counters;
  LossScale loss_scale;  // 1 for ever, but for fp16

 private:
  TrainState() = default;
  absl::Status AddDiscriminator();

  // Every tensor that changes, by its name in a checkpoint.
  io::TensorMap Tensors() const;
  absl::Status CheckTensors(const io::TensorMap& loaded) const;
  absl::Status CheckFirstTensors(const io::TensorMap& loaded) const;
  void TakeCounters(const nlohmann::json& state);

  TrainOptions options_;
  std::shared_ptr<nn::EdmDenoiser> student_;
  std::shared_ptr<nn::EdmDenoiser> target_;
  std::vector<std::string> names_;  // of parameters_
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> target_parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<Ema> averages_;
  std::shared_ptr<distill::Discriminator> discriminator_;
  std::vector<std::string> discriminator_names_;
  std::vector<at::Tensor> discriminator_parameters_;
  std::unique_ptr<Optimizer> discriminator_optimizer_;
};

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_TRAIN_STATE_H_
