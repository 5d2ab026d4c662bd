#include "core/math/jump.h"

#include "core/math/edm_precond.h"

namespace retort::math {
namespace {

// Puts F = (D - c_skip x) / c_out, with EDM's scalars, into f = k x + o F.
// `ratio` is o / c_out, given by the caller so that it is exactly 0 at s = t.
void FromRaw(const RawScalings& raw, const at::Tensor& t, double sigma_data,
             const at::Tensor& ratio, at::Tensor* a, at::Tensor* b) {
  const double sd2 = sigma_data * sigma_data;
  const at::Tensor c_skip = sd2 / (t.square() + sd2);
  *a = raw.c_skip - ratio * c_skip;
  *b = ratio;
}

}  // namespace

at::Tensor JumpPrecond::Apply(const at::Tensor& x, const at::Tensor& d,
                              const at::Tensor& t, const at::Tensor& s) const {
  at::Tensor a, b;
  Coefficients(t, s, &a, &b);
  return at::addcmul(x * ExpandLike(a, x), d, ExpandLike(b, x));
}

RawScalings CmScalings(const at::Tensor& t, double eps, double sigma_data) {
  const double sd2 = sigma_data * sigma_data;
  const at::Tensor d = t - eps;
  return {sd2 / (d.square() + sd2), sigma_data * d / (t.square() + sd2).sqrt()};
}

RawScalings BcmScalings(const at::Tensor& t, const at::Tensor& s,
                        double sigma_data) {
  const double sd2 = sigma_data * sigma_data;
  const at::Tensor sum = t.square() + sd2;
  return {(t * s + sd2) / sum, sigma_data * (t - s) / sum.sqrt()};
}

void CmJump::Coefficients(const at::Tensor& t, const at::Tensor& s,
                          at::Tensor* a, at::Tensor* b) const {
  FromRaw(CmScalings(t, eps_, sigma_data_), t, sigma_data_, (t - eps_) / t, a,
          b);
}

void BcmJump::Coefficients(const at::Tensor& t, const at::Tensor& s,
                           at::Tensor* a, at::Tensor* b) const {
  FromRaw(BcmScalings(t, s, sigma_data_), t, sigma_data_, (t - s) / t, a, b);
}

void CtmJump::Coefficients(const at::Tensor& t, const at::Tensor& s,
                           at::Tensor* a, at::Tensor* b) const {
  *a = s / t;
  *b = 1 - *a;
}

}  // namespace retort::math
