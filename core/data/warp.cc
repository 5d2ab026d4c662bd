#include "core/data/warp.h"

#include <array>
#include <cmath>
#include <vector>

namespace retort::data {
namespace {

// The low-pass (scaling) filter of Daubechies' least asymmetric wavelet with
// six vanishing moments: 12 numbers with sum sqrt(2) and sum of squares 1.
constexpr std::array<double, 12> kSym6 = {
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057,
    -0.048311742585633,   0.4910559419267466,    0.787641141030194,
    0.3379294217276218,   -0.07263752278646252,  -0.021060292512300564,
    0.04472490177066578,  0.0017677118642428036, -0.007800708325034148};
// What the filter reaches over an edge, in pixels of the image.
constexpr int64_t kReach = kSym6.size() / 4;

// [2n, n]: makes n pixels 2n, putting the filter for each. A dense matrix, for
// its products are several times as fast as convolutions of one channel.
at::Tensor Refinement(int64_t n, const at::Tensor& like) {
  const int64_t taps = kSym6.size();
  const at::Tensor tap =
      at::arange(2 * n).view({-1, 1}) - 2 * at::arange(n) + (taps / 2 - 1);
  const at::Tensor filter =
      at::tensor(at::ArrayRef<double>(kSym6), at::kDouble);
  return at::where(tap.ge(0).logical_and(tap.lt(taps)),
                   filter.index({tap.clamp(0, taps - 1)}), 0.0)
      .to(like.options());
}

at::Tensor UpByTwo(const at::Tensor& x) {
  return Refinement(x.size(2), x)
      .matmul(x.matmul(Refinement(x.size(3), x).t()));
}

// The adjoint of UpByTwo.
at::Tensor DownByTwo(const at::Tensor& x) {
  return Refinement(x.size(2) / 2, x)
      .t()
      .matmul(x.matmul(Refinement(x.size(3) / 2, x)));
}

// Pixels to add before and after the image along x and y: what the images'
// corners look up, and the filter's reach, up to one whole reflection.
struct Margins {
  int64_t left, right, top, bottom;
};

Margins FindMargins(const AffineMaps& source, int64_t h, int64_t w) {
  const double cx = 0.5 * (w - 1), cy = 0.5 * (h - 1);
  const at::Tensor corners = at::tensor(
      std::vector<double>{-cx, -cy, cx, -cy, cx, cy, -cx, cy}, at::kDouble);
  // [n, 4, 2]
  const at::Tensor seen =
      corners.view({1, 4, 2}).matmul(source.linear.transpose(1, 2)) +
      source.offset.unsqueeze(1);
  const auto margin = [&](int64_t axis, double sign) {
    const double farthest = (sign * seen.select(2, axis)).max().item<double>();
    const double centre = axis == 0 ? cx : cy;
    const double most = static_cast<double>((axis == 0 ? w : h) - 1);
    const double wanted = farthest - centre + 2 * kReach;
    return static_cast<int64_t>(
        std::ceil(std::fmin(std::fmax(wanted, 0), most)));
  };
  return {margin(0, -1), margin(0, 1), margin(1, -1), margin(1, 1)};
}

}  // namespace

AffineMaps AffineMaps::Identity(int64_t n) {
  return {at::eye(2, at::kDouble).expand({n, 2, 2}),
          at::zeros({n, 2}, at::kDouble)};
}

AffineMaps AffineMaps::After(const AffineMaps& first) const {
  return {linear.matmul(first.linear),
          linear.matmul(first.offset.unsqueeze(2)).squeeze(2) + offset};
}

at::Tensor Warp(const at::Tensor& images, const AffineMaps& source) {
  const int64_t n = images.size(0), c = images.size(1);
  const int64_t h = images.size(2), w = images.size(3);
  const Margins m = FindMargins(source, h, w);
  const at::Tensor up =
      UpByTwo(at::reflection_pad2d(images, {m.left, m.right, m.top, m.bottom}));
  // A pixel of the fine output at z from its centre is at q = (z + 1/2)/2 in
  // the image, whose p is 2 (p + shift) - 1/2 from the fine input's centre.
  // The operators want both as shares of the halves of the sides.
  const int64_t out_w = 2 * (w + 2 * kReach), out_h = 2 * (h + 2 * kReach);
  const auto pair = [](double x, double y) {
    return at::tensor(std::vector<double>{x, y}, at::kDouble);
  };
  const at::Tensor half_out = pair(0.5 * out_w, 0.5 * out_h);
  const at::Tensor half_in = pair(0.5 * up.size(3), 0.5 * up.size(2));
  const at::Tensor shift =
      pair(0.5 * (m.left - m.right), 0.5 * (m.top - m.bottom));
  const at::Tensor linear = source.linear * half_out / half_in.view({2, 1});
  const at::Tensor offset =
      (source.linear.sum(2) * 0.5 + (source.offset + shift) * 2 - 0.5) /
      half_in;
  const at::Tensor theta = at::cat({linear, offset.unsqueeze(2)}, 2);
  const at::Tensor grid = at::affine_grid_generator(
      theta.to(images.options()), {n, c, out_h, out_w}, false);
  const at::Tensor fine =
      at::grid_sampler(up, grid, /*bilinear*/ 0,
                       /*zeros*/ 0, /*align_corners=*/false);
  return DownByTwo(fine).narrow(2, kReach, h).narrow(3, kReach, w).contiguous();
}

}  // namespace retort::data
