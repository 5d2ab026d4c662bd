#ifndef RETORT_CORE_MATH_JUMP_H_
#define RETORT_CORE_MATH_JUMP_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"

namespace retort::math {

// The preconditioning of a consistency function: a and b in
//   f(x, t, s) = a(t, s) x + b(t, s) D(x, t, s),
// D being the network in EDM's denoiser form. a(t, t) = 1 and b(t, t) = 0
// exactly, so that f(x, t, t) = x for any network. Two scalars, as a rule;
// where they are linear operators (core/analytic/spectral_jump.h) a class has
// its own Apply, which is therefore what a jump is computed with.
//
// Implementations are immutable, hence safe to share between threads.
class JumpPrecond {
 public:
  virtual ~JumpPrecond() = default;

  // Coefficients of the jumps t[i] -> s[i], t >= s > 0; all four float64 [n] on
  // the same device. Of operators, the mean of their eigenvalues: for drawings.
  virtual void Coefficients(const at::Tensor& t, const at::Tensor& s,
                            at::Tensor* a, at::Tensor* b) const = 0;

  // Returns a x + b d, in x's dtype; x and d [n, ...], t and s float64 [n].
  // Differentiable in x and d.
  virtual at::Tensor Apply(const at::Tensor& x, const at::Tensor& d,
                           const at::Tensor& t, const at::Tensor& s) const;

  // Shape of the one kind of sample this is for; empty: any.
  virtual std::vector<int64_t> sample_shape() const { return {}; }

  // As in job specs and artefacts: "cm", "bcm", "ctm", "analytic", ...
  virtual absl::string_view name() const = 0;

  // False if every jump ends at eps whatever s is; such a preconditioning
  // serves consistency models only, not trajectory models.
  virtual bool any_end() const { return true; }
};

// Scalars of a consistency function written on the raw network,
// f = c_skip x + c_out F(c_in x, ...), c_in being EDM's.
struct RawScalings {
  at::Tensor c_skip;
  at::Tensor c_out;
};

// Consistency models (Song et al. 2023, Appendix C):
//   c_skip = sd^2 / ((t - eps)^2 + sd^2), c_out = sd (t - eps) / sqrt(t^2 +
//   sd^2)
RawScalings CmScalings(const at::Tensor& t, double eps, double sigma_data);

// Bidirectional consistency models (Li and He 2024):
//   c_skip = (t s + sd^2) / (t^2 + sd^2), c_out = sd (t - s) / sqrt(t^2 + sd^2)
RawScalings BcmScalings(const at::Tensor& t, const at::Tensor& s,
                        double sigma_data);

// CmScalings on the denoiser form. Ignores s: all jumps end at eps.
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

// BcmScalings on the denoiser form, where it is the same function as CtmJump.
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
