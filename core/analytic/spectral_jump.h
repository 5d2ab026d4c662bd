#ifndef RETORT_CORE_ANALYTIC_SPECTRAL_JUMP_H_
#define RETORT_CORE_ANALYTIC_SPECTRAL_JUMP_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/analytic/grid_interpolation.h"
#include "core/analytic/spectral_basis.h"
#include "core/analytic/spectral_fit.h"
#include "core/math/jump.h"

namespace retort::analytic {

// "fitted-spectral": a and b are operators, diagonal in a SpectralBasis. u and
// v of SpectralFit are interpolated as GridInterpolation does, 0 and 1 on the
// diagonal, in float64 on the CPU; then two transforms in x's dtype on its
// device. As f is s/t x plus (1 - s/t) times something finite, f(x, t, t) = x
// exactly.
//
// Apply and Coefficients throw c10::Error, as TabulatedJump does, for times
// outside the table, and for samples of another shape. Immutable, thread-safe.
class SpectralJump : public math::JumpPrecond {
 public:
  // Of samples of `shape`; empty: {C, H, W} of the fit. InvalidArgument if the
  // fit is unusable or for another shape.
  static absl::StatusOr<std::shared_ptr<const SpectralJump>> Create(
      const SpectralFit& fit, std::vector<int64_t> shape = {});

  // Means over frequencies.
  void Coefficients(const at::Tensor& t, const at::Tensor& s, at::Tensor* a,
                    at::Tensor* b) const override;
  at::Tensor Apply(const at::Tensor& x, const at::Tensor& d,
                   const at::Tensor& t, const at::Tensor& s) const override;
  absl::string_view name() const override { return "fitted-spectral"; }
  std::vector<int64_t> sample_shape() const override { return basis_.shape(); }

 private:
  SpectralJump(const SpectralFit& fit, const std::vector<int64_t>& shape);

  // u and v for every sample, float64 [n, 2, C, H, W] on the CPU, and s/t,
  // float64 [n].
  at::Tensor Lookup(const at::Tensor& t, const at::Tensor& s,
                    at::Tensor* ratio) const;

  const double t_min_, t_max_;
  const int64_t n_;
  const GridInterpolation grid_;
  const SpectralBasis basis_;
  // Row 0 is the diagonal's, then one for each pair: u and v, [.., 2 K].
  at::Tensor table_;
};

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_SPECTRAL_JUMP_H_
