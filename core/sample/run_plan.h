#ifndef RETORT_CORE_SAMPLE_RUN_PLAN_H_
#define RETORT_CORE_SAMPLE_RUN_PLAN_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "core/sample/sample_plan.h"

namespace retort::sample {

// Takes states x (float64 [n,...]) at noise levels `from` to levels `to` (both
// float64 [n]). Any floating dtype may come back.
using StepFunction = std::function<at::Tensor(
    const at::Tensor& x, const at::Tensor& from, const at::Tensor& to)>;

// Returns standard normals shaped like x for noise key `draw` (NoiseKey).
using NoiseFunction =
    std::function<at::Tensor(uint64_t draw, const at::Tensor& x)>;

struct RunOptions {
  // Clamps the state to [-1, 1] after each jump, as CM's samplers do when asked
  // to (clip_denoised). For Solver::kConsistency, whose jumps all end in clean
  // images.
  bool clip_denoised = false;
  // Polled before each step; true stops. May be empty.
  std::function<bool()> stop;
};

// Runs a plan for a batch: scales `latents`, standard normals [n,...], and
// takes the plan's steps one by one. The state is float64 throughout, and is
// what is returned. No gradients are recorded.
//
// Errors: Cancelled when stopped. LibTorch's exceptions pass through.
absl::StatusOr<at::Tensor> RunPlan(const SamplePlan& plan,
                                   const at::Tensor& latents,
                                   const StepFunction& step,
                                   const NoiseFunction& noise,
                                   const RunOptions& options = {});

}  // namespace retort::sample

#endif  // RETORT_CORE_SAMPLE_RUN_PLAN_H_
