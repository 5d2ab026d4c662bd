#ifndef RETORT_CORE_SAMPLE_SAMPLER_H_
#define RETORT_CORE_SAMPLE_SAMPLER_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/nn/consistency_model.h"
#include "core/nn/denoiser.h"
#include "core/sample/sample_plan.h"

namespace retort::sample {

struct SampleOptions {
  PlanOptions plan;

  // Image i of a seed is the same whenever and with whatever it is made, up
  // to rounding that depends on the batch size.
  uint64_t seed = 0;

  // Which images of the seed: `count` from `first_index` on, or, if not empty,
  // those in `indices`, in that order.
  int64_t first_index = 0;
  int64_t count = 1;
  std::vector<int64_t> indices;

  // Conditional models: one class for all images, or one for each. Empty: image
  // i has class i mod label_dim. Empty for unconditional models.
  std::vector<int64_t> classes;

  int64_t batch_size = 256;  // images in one network call, at most

  // See RunOptions; for Solver::kConsistency only.
  bool clip_denoised = false;

  // Polled before each step; true ends with Cancelled. May be empty.
  std::function<bool()> stop;
  // Called after each batch with the images done. May be empty.
  std::function<void(int64_t done, int64_t total)> progress;
};

struct SampleResult {
  // float32 [n,C,H,W] on the CPU, nominally in [-1, 1], not clamped;
  // io::ToUint8 makes pictures of them.
  at::Tensor images;
  std::vector<int64_t> classes;  // one per image; empty if unconditional
  int64_t network_calls = 0;     // for each image
};

// Draws images from a consistency model or a teacher.
//
//   Sampler sampler(model);
//   SampleOptions options;
//   options.plan.steps = 2;
//   options.count = 64;
//   RETORT_ASSIGN_OR_RETURN(SampleResult result, sampler.Sample(options));
//
// An engine that batches across requests uses MakePlan(), SampleNoise() and
// Step() instead, and lets each row have its own times and class.
//
// Thread-safe. Shares the network, which it puts into eval mode; do not train
// it meanwhile.
class Sampler {
 public:
  // For Solver::kConsistency, and Solver::kTrajectory if the model has a
  // second time.
  explicit Sampler(nn::ConsistencyModel model);
  // For Solver::kHeun. Not null.
  explicit Sampler(std::shared_ptr<nn::EdmDenoiser> teacher);

  // Errors: InvalidArgument for options that are bad or do not suit the model;
  // Cancelled; ResourceExhausted when memory ran out; Internal when the
  // network fails or its images are not finite.
  absl::StatusOr<SampleResult> Sample(const SampleOptions& options) const;

  // One step for a batch, on the network's device: a jump, or Heun's step for a
  // teacher. `x` float64 [n,C,H,W], `from` and `to` float64 [n], `labels` from
  // OneHot() or undefined. Returns float64. Throws what LibTorch throws.
  at::Tensor Step(const at::Tensor& x, const at::Tensor& from,
                  const at::Tensor& to, const at::Tensor& labels) const;

  // Returns the classes as the network takes them: float [n,label_dim] on its
  // device; undefined for an unconditional network.
  at::Tensor OneHot(absl::Span<const int64_t> classes) const;

  // InvalidArgument unless the model can follow this solver.
  absl::Status CheckSolver(Solver solver) const;

  const nn::NetworkConfig& config() const { return net_->config(); }
  at::Device device() const { return net_->device(); }
  bool is_teacher() const { return !model_.has_value(); }

 private:
  absl::StatusOr<at::Tensor> SampleBatch(
      const SamplePlan& plan, const SampleOptions& options,
      absl::Span<const int64_t> indices,
      absl::Span<const int64_t> classes) const;

  const std::optional<nn::ConsistencyModel> model_;  // empty: a teacher
  const std::shared_ptr<nn::EdmDenoiser> net_;
};

}  // namespace retort::sample

#endif  // RETORT_CORE_SAMPLE_SAMPLER_H_
