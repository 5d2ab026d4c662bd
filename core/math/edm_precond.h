#ifndef RETORT_CORE_MATH_EDM_PRECOND_H_
#define RETORT_CORE_MATH_EDM_PRECOND_H_

#include <ATen/ATen.h>

namespace retort::math {

// The scalars around EDM's raw network F (EDM, Table 1, column "Ours"):
//   D(x, sigma) = c_skip x + c_out F(c_in x, c_noise).
struct Scalings {
  at::Tensor c_skip;   // sd^2 / (sigma^2 + sd^2)
  at::Tensor c_out;    // sigma sd / sqrt(sigma^2 + sd^2)
  at::Tensor c_in;     // 1 / sqrt(sigma^2 + sd^2)
  at::Tensor c_noise;  // ln(sigma) / 4
};

// Each member has the shape and dtype of `sigma` (pass float64).
Scalings EdmScalings(const at::Tensor& sigma, double sigma_data);

// v, one number per sample ([n] or a scalar), shaped [n, 1, 1, ...] so that it
// multiplies x [n, ...], in x's dtype and on x's device.
at::Tensor ExpandLike(const at::Tensor& v, const at::Tensor& x);

}  // namespace retort::math

#endif  // RETORT_CORE_MATH_EDM_PRECOND_H_
