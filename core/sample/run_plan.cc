#include "core/sample/run_plan.h"

#include <c10/core/GradMode.h>

#include "absl/status/status.h"

namespace retort::sample {

absl::StatusOr<at::Tensor> RunPlan(const SamplePlan& plan,
                                   const at::Tensor& latents,
                                   const StepFunction& step,
                                   const NoiseFunction& noise,
                                   const RunOptions& options) {
  c10::NoGradGuard no_grad;
  at::Tensor x = latents.to(at::kDouble) * plan.first_sigma;
  const auto level = [&](double t) {
    return at::full({x.size(0)}, t, x.options());
  };
  for (size_t k = 0; k < plan.steps.size(); ++k) {
    if (options.stop && options.stop()) {
      return absl::CancelledError("sampling: stopped");
    }
    const PlannedStep& s = plan.steps[k];
    if (s.noise > 0) {
      x = x + s.noise * noise(k + 1, x).to(x.device(), at::kDouble);
    }
    x = step(x, level(s.from), level(s.to)).to(at::kDouble);
    if (options.clip_denoised) x = x.clamp(-1, 1);
  }
  return x;
}

}  // namespace retort::sample
