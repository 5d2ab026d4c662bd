#ifndef RETORT_CORE_MATH_JUMP_H_
#define RETORT_CORE_MATH_JUMP_H_

#include <ATen/ATen.h>

#include "absl/strings/string_view.h"

namespace retort::math {

// The preconditioning of a consistency function: two scalars a, b with
//   f(x, t, s) = a(t, s) x + b(t, s) D(x, t, s),
// D being the network in EDM's denoiser form. a(t, t) = 1 and b(t, t) = 0
// exactly, so that f(x, t, t) = x for any network.
//
// Implementations are immutable, hence safe to share between threads.
class JumpPrecond {
 public:
  virtual ~JumpPrecond() = default;

  // Coefficients of the jumps t[i] -> s[i], t >= s > 0; all four float64 [n] on
  // the same device.
  virtual void Coefficients(const at::Tensor& t, const at::Tensor& s,
                            at::Tensor* a, at::Tensor* b) const = 0;

  // As in job specs and artefacts: "cm", "bcm", "ctm", "analytic", ...
  virtual absl::string_view name() const = 0;

  // False if every jump ends at eps whatever s is; such a preconditioning
  // serves consistency models only, not trajectory models.
  virtual bool any_end() const { return true; }
};

// Consistency models (Song et al. 2023, Appendix C), on the raw network
//   c_skip = sd^2 / ((t - eps)^2 + sd^2), c_out = sd (t - eps) / sqrt(t^2 +
//   sd^2).
// Ignores s: all jumps end at eps.
class CmJump : public JumpPrecond {
 public:
  explicit CmJump(double eps = 0.002, double sigma_data = 0.5)
      : eps_(eps), sigma_data_(sigma_data) {}

  void Coefficients(const at::Tensor& t, const at::Tensor& s, at::Tensor* a,
                    at::Tensor* b) const override;
  absl::string_view name() const override { return "cm"; }
  bool any_end() const override { return false; }

 private:
  const double eps_;
  const double sigma_data_;
};

// Bidirectional consistency models (Li and He 2024), on the raw network
//   c_skip = (t s + sd^2) / (t^2 + sd^2), c_out = sd (t - s) / sqrt(t^2 +
//   sd^2).
// On the denoiser form this is the same function as CtmJump.
class BcmJump : public JumpPrecond {
 public:
  explicit BcmJump(double sigma_data = 0.5) : sigma_data_(sigma_data) {}

  void Coefficients(const at::Tensor& t, const at::Tensor& s, at::Tensor* a,
                    at::Tensor* b) const override;
  absl::string_view name() const override { return "bcm"; }

 private:
  const double sigma_data_;
};

// Consistency trajectory models (Kim et al. 2024, Eq. 5): a = s/t, b = 1 - s/t,
// Euler's step of dx/dt = (x - D)/t.
class CtmJump : public JumpPrecond {
 public:
  void Coefficients(const at::Tensor& t, const at::Tensor& s, at::Tensor* a,
                    at::Tensor* b) const override;
  absl::string_view name() const override { return "ctm"; }
};

}  // namespace retort::math

#endif  // RETORT_CORE_MATH_JUMP_H_
