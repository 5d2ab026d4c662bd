#include "core/math/heun.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/math/edm_precond.h"

namespace retort::math {
namespace {

// dx/dt of the probability-flow ODE (EDM, Eq. 1 with s = 1).
at::Tensor Slope(const Denoiser& denoiser, const at::Tensor& x,
                 const at::Tensor& t) {
  return (x - denoiser(x, t).to(x.options())) / ExpandLike(t, x);
}

}  // namespace

at::Tensor HeunStep(const Denoiser& denoiser, const at::Tensor& x_t,
                    const at::Tensor& t_in, const at::Tensor& u_in) {
  const at::Tensor x = x_t.to(at::kDouble);
  const at::Tensor t = t_in.reshape({-1}).expand({x.size(0)});
  const at::Tensor u = u_in.reshape({-1}).expand({x.size(0)});
  const at::Tensor h = ExpandLike(u - t, x);
  const at::Tensor d = Slope(denoiser, x, t);
  const at::Tensor euler = x + h * d;
  const at::Tensor at_zero = u == 0;
  if (at_zero.all().item<bool>()) return euler;
  // A row that ends at 0 has no slope there: ask for one that exists, and
  // leave it out again.
  const at::Tensor d_end = Slope(denoiser, euler, at::where(at_zero, t, u));
  const at::Tensor heun = x + h * (0.5 * d + 0.5 * d_end);
  if (!at_zero.any().item<bool>()) return heun;
  std::vector<int64_t> rows(x.dim(), 1);
  rows[0] = x.size(0);
  return at::where(at_zero.reshape(rows), euler, heun);
}

absl::Status HeunOptions::Validate() const {
  if (absl::Status status = schedule.Validate(); !status.ok()) return status;
  if (num_steps < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sampler: num_steps is ", num_steps, "; it must be at least 1"));
  }
  if (!(s_churn >= 0) || !std::isfinite(s_churn) || !(s_noise >= 0)) {
    return absl::InvalidArgumentError(absl::StrCat("sampler: s_churn ", s_churn,
                                                   " and s_noise ", s_noise,
                                                   " must not be negative"));
  }
  if (s_churn > 0 && !noise) {
    return absl::InvalidArgumentError(
        "sampler: s_churn > 0 needs a source of noise; set options.noise");
  }
  return absl::OkStatus();
}

at::Tensor HeunSample(const Denoiser& denoiser, const at::Tensor& latents,
                      const HeunOptions& options) {
  RETORT_CHECK_OK(options.Validate());
  std::vector<double> times = TimeGrid(options.schedule, options.num_steps);
  times.push_back(0);
  const double churn =
      std::min(options.s_churn / options.num_steps, std::sqrt(2.0) - 1);
  const auto like = latents.options().dtype(at::kDouble);
  at::Tensor x = latents.to(at::kDouble) * times[0];
  for (int64_t i = 0; i < options.num_steps; ++i) {
    double t = times[i];
    if (churn > 0 && t >= options.s_min && t <= options.s_max) {
      // EDM, Algorithm 2, lines 4 to 6.
      const double t_hat = t + churn * t;
      x = x + options.noise(i, x).to(like) *
                  (std::sqrt(t_hat * t_hat - t * t) * options.s_noise);
      t = t_hat;
    }
    x = HeunStep(denoiser, x, at::full({1}, t, like),
                 at::full({1}, times[i + 1], like));
  }
  return x;
}

}  // namespace retort::math
