#ifndef RETORT_CORE_DATA_WARP_H_
#define RETORT_CORE_DATA_WARP_H_

#include <ATen/ATen.h>

namespace retort::data {

// One map of the plane for each of n images, p = linear q + offset, in pixels
// from the image's centre, x (columns) before y (rows).
struct AffineMaps {
  at::Tensor linear;  // float64 [n, 2, 2]
  at::Tensor offset;  // float64 [n, 2]

  static AffineMaps Identity(int64_t n);

  // Returns the maps that first do `first` and then these.
  AffineMaps After(const AffineMaps& first) const;
};

// Returns images whose pixel q shows what `images` [n, c, h, w] show at
// source(q); the same shape. Beyond its edges an image is continued by its
// mirror image, as far as one reflection goes, and by zeros after that.
//
// Aliasing is kept down as StyleGAN2-ADA does it (Karras et al. 2020, arXiv
// 2006.06676, appendix B): up by two with the low-pass of the orthogonal
// wavelet sym6, bilinear look-ups there, down by two with the same filter. As
// the filter is orthonormal, the identity gives the images back (to rounding).
// How far images are continued depends on the batch's most distant look-up.
at::Tensor Warp(const at::Tensor& images, const AffineMaps& source);

}  // namespace retort::data

#endif  // RETORT_CORE_DATA_WARP_H_
