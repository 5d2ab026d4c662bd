#ifndef RETORT_SERVER_WORKER_VALIDATION_H_
#define RETORT_SERVER_WORKER_VALIDATION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/dataset.h"
#include "core/eval/feature_extractor.h"
#include "core/eval/feature_statistics.h"
#include "core/io/safetensors.h"
#include "core/math/jump.h"
#include "core/math/noise_schedule.h"
#include "core/nn/denoiser.h"
#include "core/sample/sampler.h"
#include "core/train/objective.h"
#include "retort/v1/spec.pb.h"
#include "server/worker/task.h"

namespace retort::worker {

// What is validated, and against what. Nothing is owned.
struct ValidationParts {
  const nn::EdmDenoiser* network = nullptr;  // the one that trains: its shape
  std::shared_ptr<nn::EdmDenoiser> teacher;  // null: none, and no RMS
  std::shared_ptr<const math::JumpPrecond> jump;  // null: a teacher trains
  math::NoiseSchedule schedule;
  const data::Dataset* dataset = nullptr;
};

// Measures the averaged weights of a training run from the same noise every
// time (v1.ValidationSpec): how far images are from where the teacher's sampler
// arrives, and their Frechet distance to the training images. Draws nothing
// from the run's own randomness and leaves its networks alone.
class Validation {
 public:
  // Loads the extractor, takes the reference statistics (from the cache when it
  // has them) and runs the teacher's sampler once. Errors: those of loading,
  // sampling and eval::ComputeReferenceStatistics; Cancelled when the task is
  // to stop.
  static absl::StatusOr<std::unique_ptr<Validation>> Create(
      const TaskContext& context, const v1::ValidationSpec& spec,
      const ValidationParts& parts);

  // Returns validation_rms_N and validation_fd_N for each number of steps N.
  // `weights` is the network's state dict. Errors: those of sampling.
  absl::StatusOr<train::Metrics> Measure(const io::TensorMap& weights);

 private:
  Validation(const TaskContext& context, const v1::ValidationSpec& spec,
             const ValidationParts& parts);
  absl::Status Prepare(const ValidationParts& parts);
  absl::StatusOr<at::Tensor> Images(const sample::Sampler& sampler,
                                    sample::Solver solver, int64_t steps) const;
  // Polled all along: a validation may take longer than a task may be at one
  // thing without a sign of life.
  bool Stopping() const { return context_.StoppingAt(activity_); }

  const TaskContext& context_;
  const v1::ValidationSpec spec_;
  const math::NoiseSchedule schedule_;
  const char* activity_ = "preparing validation";
  std::shared_ptr<nn::EdmDenoiser> network_;  // a copy
  std::unique_ptr<sample::Sampler> sampler_;  // of network_
  sample::Solver solver_;
  at::Tensor end_points_;  // float32 [n,C,H,W]; undefined without a teacher
  std::unique_ptr<eval::FeatureExtractor> extractor_;  // null: no FD
  std::optional<eval::FeatureStatistics> reference_;
};

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_VALIDATION_H_
