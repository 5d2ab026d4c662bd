#ifndef RETORT_CORE_DISTILL_TEACHER_TARGET_H_
#define RETORT_CORE_DISTILL_TEACHER_TARGET_H_

#include <torch/nn/module.h>

#include <vector>

#include "core/nn/denoiser.h"

namespace retort::distill {

// Follows the teacher's probability-flow ODE along grid points: row i starts at
// times[from[i]] and takes `steps` Heun steps, ending at times[from[i]+steps].
// `times` falls from sigma_max to sigma_min > 0; `from` is int64 [n]. The ODE
// state is float64, the network runs in its own dtype; no gradient is recorded.
// Costs 2 * steps network calls. Returns float64 [n, c, h, w].
at::Tensor HeunAlongGrid(nn::EdmDenoiser& teacher, const at::Tensor& x,
                         const at::Tensor& times, const at::Tensor& from,
                         int64_t steps, const at::Tensor& labels);

}  // namespace retort::distill

#endif  // RETORT_CORE_DISTILL_TEACHER_TARGET_H_
