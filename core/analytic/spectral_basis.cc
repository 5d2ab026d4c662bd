#include "core/analytic/spectral_basis.h"

#include <cmath>

#include "core/base/check.h"

namespace retort::analytic {
namespace {

// C_n of the header.
at::Tensor DctMatrix(int64_t n) {
  const at::Tensor f = at::arange(n, at::kDouble).unsqueeze(1);
  const at::Tensor p = at::arange(n, at::kDouble);
  at::Tensor c = at::cos(f * (2 * p + 1) * (M_PI / (2.0 * n)));
  c *= std::sqrt(2.0 / n);
  c[0] *= std::sqrt(0.5);
  return c;
}

std::vector<int64_t> WithCount(int64_t n, const std::vector<int64_t>& shape) {
  std::vector<int64_t> out = {n};
  out.insert(out.end(), shape.begin(), shape.end());
  return out;
}

}  // namespace

std::vector<int64_t> ImageShape(const std::vector<int64_t>& shape) {
  RETORT_CHECK(shape.size() == 1 || shape.size() == 3);
  return shape.size() == 3 ? shape : std::vector<int64_t>{1, 1, shape[0]};
}

SpectralBasis::SpectralBasis(const at::Tensor& mixing,
                             const std::vector<int64_t>& shape)
    : mixing_(mixing.to(at::kCPU, at::kDouble).contiguous()),
      shape_(shape),
      image_shape_(ImageShape(shape)),
      rows_(DctMatrix(image_shape_[1])),
      columns_(DctMatrix(image_shape_[2])) {
  RETORT_CHECK(mixing_.dim() == 2 && mixing_.size(0) == image_shape_[0] &&
               mixing_.size(1) == image_shape_[0]);
}

at::Tensor SpectralBasis::Forward(const at::Tensor& x) const {
  const int64_t n = x.size(0), c = image_shape_[0];
  at::Tensor y = x.reshape({n, c, image_shape_[1] * image_shape_[2]});
  if (c > 1) y = at::matmul(mixing_.to(x.options()), y);
  y = y.reshape(WithCount(n, image_shape_));
  y = at::matmul(y, columns_.t().to(x.options()));
  return at::matmul(rows_.to(x.options()), y);
}

at::Tensor SpectralBasis::Inverse(const at::Tensor& coefficients) const {
  const int64_t n = coefficients.size(0), c = image_shape_[0];
  const auto options = coefficients.options();
  at::Tensor y = at::matmul(coefficients, columns_.to(options));
  y = at::matmul(rows_.t().to(options), y);
  if (c > 1) {
    y = y.reshape({n, c, image_shape_[1] * image_shape_[2]});
    y = at::matmul(mixing_.t().to(options), y);
  }
  return y.reshape(WithCount(n, shape_));
}

at::Tensor DecorrelatingMix(const at::Tensor& images) {
  const int64_t c = images.size(1);
  if (c == 1) return at::ones({1, 1}, at::kDouble);
  const at::Tensor values =
      images.to(at::kCPU, at::kDouble).transpose(0, 1).reshape({c, -1});
  const at::Tensor centred = values - values.mean(1, /*keepdim=*/true);
  const at::Tensor covariance =
      at::mm(centred, centred.t()) / static_cast<double>(values.size(1));
  // Ascending eigenvalues; eigenvectors are the columns.
  at::Tensor rows = std::get<1>(at::linalg_eigh(covariance)).t().flip(0);
  const at::Tensor largest = rows.abs().argmax(1, /*keepdim=*/true);
  return (rows * rows.gather(1, largest).sign()).contiguous();
}

}  // namespace retort::analytic
