#ifndef RETORT_CORE_ANALYTIC_LINEARIZED_DENOISER_H_
#define RETORT_CORE_ANALYTIC_LINEARIZED_DENOISER_H_

#include <ATen/ATen.h>

#include "core/analytic/teacher_source.h"

namespace retort::analytic {

// What one call, one backward pass and one product of LinearizedDenoiser cost
// in forward passes, by the usual count (a backward pass is two).
inline constexpr int64_t kForwardCost = 1;
inline constexpr int64_t kBackwardCost = 2;
inline constexpr int64_t kProductCost = 3;

// D(x, t) at given x [n, shape...] and t [n], and its Jacobian J of each sample
// in (x_i, t_i), by automatic differentiation: D is evaluated once, and every
// product is exact. Not thread-safe.
class LinearizedDenoiser {
 public:
  // Runs D; `labels` as TeacherSource has them. The graph of a network takes
  // memory as training does.
  LinearizedDenoiser(const TeacherSource& source, const at::Tensor& x,
                     const at::Tensor& t, const at::Tensor& labels);

  // D, without gradient, float64 if x is.
  const at::Tensor& value() const { return value_; }

  // Returns J_x' w, shaped as x: a backward pass.
  at::Tensor Transposed(const at::Tensor& w) const;

  // Returns J_x v + J_t v_t, shaped as x; v [n, shape...], v_t [n]. A backward
  // pass makes J' w a linear function of a dummy w, and its derivative in w is
  // the product. (Forward-mode differentiation would do, but not every operator
  // has it.)
  at::Tensor Product(const at::Tensor& v, const at::Tensor& v_t);

  // Returns dD/dlambda along the ODE dx/dlambda = D - x, lambda = -ln t.
  at::Tensor AlongOde();

 private:
  at::Tensor x_, t_, out_, value_;
  at::Tensor dummy_, pulled_x_, pulled_t_;  // w, J_x' w, J_t' w; when needed
};

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_LINEARIZED_DENOISER_H_
