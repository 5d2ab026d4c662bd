#ifndef RETORT_CORE_ANALYTIC_SPECTRAL_BASIS_H_
#define RETORT_CORE_ANALYTIC_SPECTRAL_BASIS_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace retort::analytic {

// An orthonormal basis of images: an orthonormal mix Q of the channels, then an
// orthonormal two-dimensional DCT-II of each,
//
//   (U x)[c] = C_h (sum_k Q[c,k] x[k]) C_w',
//   C_n[f,p] = sqrt((f ? 2 : 1)/n) cos(pi f (2p + 1) / (2n)).
//
// Images whose statistics do not depend on the place are nearly uncorrelated in
// it. Immutable, thread-safe.
class SpectralBasis {
 public:
  // `mixing` float64 [channels, channels], orthonormal. `shape` of one sample:
  // {channels, height, width}, or {d}, which counts as {1, 1, d}.
  SpectralBasis(const at::Tensor& mixing, const std::vector<int64_t>& shape);

  // U and U' of x [n, shape...], or of anything that has as many entries, in
  // x's dtype and on its device. Forward gives [n, channels, height, width],
  // Inverse the shape of samples. Differentiable.
  at::Tensor Forward(const at::Tensor& x) const;
  at::Tensor Inverse(const at::Tensor& coefficients) const;

  const at::Tensor& mixing() const { return mixing_; }
  // As given.
  const std::vector<int64_t>& shape() const { return shape_; }
  // {channels, height, width}.
  const std::vector<int64_t>& image_shape() const { return image_shape_; }

 private:
  const at::Tensor mixing_;
  const std::vector<int64_t> shape_, image_shape_;
  at::Tensor rows_, columns_;  // C_h and C_w
};

// {channels, height, width} of a sample's shape.
std::vector<int64_t> ImageShape(const std::vector<int64_t>& shape);

// Returns the mix that decorrelates the channels of images [n, c, h, w]: the
// eigenvectors of their covariance over images and pixels as rows, the largest
// eigenvalue first, each with its largest entry positive.
at::Tensor DecorrelatingMix(const at::Tensor& images);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_SPECTRAL_BASIS_H_
