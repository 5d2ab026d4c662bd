#include "core/distill/teacher_target.h"

#include "core/math/heun.h"

namespace retort::distill {

at::Tensor HeunAlongGrid(nn::EdmDenoiser& teacher, const at::Tensor& x,
                         const at::Tensor& times, const at::Tensor& from,
                         int64_t steps, const at::Tensor& labels) {
  torch::NoGradGuard no_grad;
  const math::Denoiser denoise = [&](const at::Tensor& y,
                                     const at::Tensor& sigma) {
    return teacher.Denoise(y, sigma, labels);
  };
  at::Tensor state = x.to(at::kDouble);
  for (int64_t k = 0; k < steps; ++k) {
    state = math::HeunStep(denoise, state, times.index_select(0, from + k),
                           times.index_select(0, from + k + 1));
  }
  return state;
}

}  // namespace retort::distill
