#ifndef RETORT_CORE_MATH_HEUN_H_
#define RETORT_CORE_MATH_HEUN_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <limits>

#include "absl/status/status.h"
#include "core/math/noise_schedule.h"

// EDM's solver of the probability-flow ODE dx/dt = (x - D(x, t)) / t. States
// and times are float64 whatever the network computes in.
namespace retort::math {

// D(x, sigma): x float64 [n, ...], sigma float64 [n]. The answer may be of any
// floating dtype.
using Denoiser =
    std::function<at::Tensor(const at::Tensor& x, const at::Tensor& sigma)>;

// One step of Heun's method from times t to times u (float64 [n], on x's
// device, 0 <= u < t). Two calls of the denoiser; rows with u = 0 take Euler's
// step (D at noise level 0 does not exist), and if all do, the second call is
// left out. Returns float64.
at::Tensor HeunStep(const Denoiser& denoiser, const at::Tensor& x,
                    const at::Tensor& t, const at::Tensor& u);

struct HeunOptions {
  NoiseSchedule schedule;
  int64_t num_steps = 18;  // 2 num_steps - 1 calls of the denoiser

  // Stochasticity ("churn"): in steps with s_min <= t_i <= s_max the noise
  // level is first raised by the factor 1 + min(s_churn / N, sqrt(2) - 1) with
  // fresh noise of standard deviation s_noise. 0: deterministic.
  double s_churn = 0;
  double s_min = 0;
  double s_max = std::numeric_limits<double>::infinity();
  double s_noise = 1;
  // Standard normals like x for step i; called for steps that churn only, and
  // required if s_churn > 0.
  std::function<at::Tensor(int64_t step, const at::Tensor& x)> noise;

  // InvalidArgument names the field.
  absl::Status Validate() const;
};

// EDM, Algorithm 2: from standard normals `latents` [n, ...] (scaled by t_0
// inside) down the grid and to t_N = 0. Returns float64. CHECKs that the
// options are valid.
at::Tensor HeunSample(const Denoiser& denoiser, const at::Tensor& latents,
                      const HeunOptions& options);

}  // namespace retort::math

#endif  // RETORT_CORE_MATH_HEUN_H_
