#include "core/analytic/fitted_table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace retort::analytic {
namespace {

constexpr double kRidge = 1e-9;
constexpr double kLargestV = 100;

// Solves [[xx, xy], [xy, yy]] (p, q) = (rx, ry) with a ridge relative to the
// diagonal.
std::pair<double, double> Solve(double xx, double xy, double yy, double rx,
                                double ry) {
  xx *= 1 + kRidge;
  yy *= 1 + kRidge;
  // Scaled to a unit diagonal: x grows as t while e stays at 1.
  const double sx = 1 / std::sqrt(xx), sy = 1 / std::sqrt(yy);
  const double c = xy * sx * sy;
  const double det = (1 - c) * (1 + c);
  return {sx * (rx * sx - c * ry * sy) / det,
          sy * (ry * sy - c * rx * sx) / det};
}

absl::Status CheckMoments(const TrajectoryMoments& moments) {
  const int64_t n = moments.n();
  if (n < 2 || !moments.gram.defined() ||
      moments.gram.scalar_type() != at::kDouble ||
      moments.gram.sizes() != at::IntArrayRef({2 * n, 2 * n})) {
    return absl::InvalidArgumentError(
        absl::StrCat("trajectory moments of ", n,
                     " times need a float64 Gram matrix of twice that size"));
  }
  for (int64_t i = 0; i < n; ++i) {
    if (!(moments.times[i] > 0) || !std::isfinite(moments.times[i]) ||
        (i > 0 && moments.times[i] >= moments.times[i - 1])) {
      return absl::InvalidArgumentError(
          absl::StrCat("grid times must be positive and decrease; time ", i,
                       " is ", moments.times[i]));
    }
  }
  const bool usable = at::isfinite(moments.gram).all().item<bool>() &&
                      (moments.gram.diagonal() > 0).all().item<bool>();
  if (!usable) {
    return absl::InvalidArgumentError(
        "trajectory moments must be finite with a positive diagonal; fit them "
        "again from the teacher");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const FittedTable>> FittedTable::Fit(
    TrajectoryMoments moments) {
  const absl::Status usable = CheckMoments(moments);
  if (!usable.ok()) return usable;
  moments.gram = moments.gram.cpu().contiguous();
  return std::shared_ptr<const FittedTable>(
      new FittedTable(std::move(moments)));
}

FittedTable::FittedTable(TrajectoryMoments moments)
    : moments_(std::move(moments)) {
  const int64_t n = moments_.n();
  for (double t : moments_.times) lambda_.push_back(-std::log(t));
  state_.resize(n * n);
  denoiser_.resize(n * n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i + 1; j < n; ++j) SolvePair(i, j);
  }
}

void FittedTable::SolvePair(int64_t i, int64_t j) {
  const auto g = moments_.gram.accessor<double, 2>();
  const int64_t n = moments_.n(), e = n + i;
  const double t = moments_.times[i], s = moments_.times[j];
  const double w = t - s, width = 1 - s / t;

  // State. x_j = x_i - w e_i + r, r ~ p x_i + q e_i; with D = x - t e that is
  // b = (w - q)/t and a + b = 1 + p.
  const double rx = g[i][j] - g[i][i] + w * g[e][i];
  const double re = g[j][e] - g[i][e] + w * g[e][e];
  const auto [p, q] = Solve(g[i][i], g[i][e], g[e][e], rx, re);
  state_[i * n + j] = {(p + q / t) / width, 1 - q / w};

  // Denoiser. With y = x_j - x_i: D_i - x_i = -t e_i ~ P y + Q x_i. For ctm
  // y = -w e_i, P = t/w = 1/width and Q = 0; the deviation z = -t e_i - y t/w
  // is fitted on (y, x_i). Then b = 1/P, a = 1 - (1 + Q)/P.
  const double yy = g[j][j] - 2 * g[i][j] + g[i][i];
  const double yx = g[i][j] - g[i][i];
  const double ye = g[j][e] - g[i][e];
  const double zy = -t * ye - yy * t / w;
  const double zx = -t * g[e][i] - yx * t / w;
  const auto [dp, dq] = Solve(yy, yx, g[i][i], zy, zx);
  const double v = 1 / (1 + dp * width);
  if (!std::isfinite(v) || v <= 0 || v > kLargestV) {
    ++replaced_pairs_;
    return;  // ctm's values, as initialised
  }
  const double b = width * v;
  const double a = 1 - (1 + dq) * b;
  denoiser_[i * n + j] = {(a - s / t) / width, v};
}

const FittedTable::Deviation& FittedTable::Node(FitTarget target, int64_t i,
                                                int64_t j) const {
  return (target == FitTarget::kState ? state_
                                      : denoiser_)[i * moments_.n() + j];
}

int64_t FittedTable::Interval(double lambda) const {
  const auto above = std::upper_bound(lambda_.begin(), lambda_.end(), lambda);
  const int64_t k = above - lambda_.begin() - 1;
  return std::clamp<int64_t>(k, 0, moments_.n() - 2);
}

JumpCoefficients FittedTable::Pair(FitTarget target, int64_t i,
                                   int64_t j) const {
  return At(target, moments_.times[i], moments_.times[j]);
}

JumpCoefficients FittedTable::At(FitTarget target, double t, double s) const {
  const double lambda_t = -std::log(t), lambda_s = -std::log(s);
  const int64_t i = Interval(lambda_t), j = Interval(lambda_s);
  const double x = (lambda_t - lambda_[i]) / (lambda_[i + 1] - lambda_[i]);
  const double y = (lambda_s - lambda_[j]) / (lambda_[j + 1] - lambda_[j]);
  double u = 0, v = 0;
  const auto add = [&](double weight, int64_t row, int64_t column) {
    const Deviation& node = Node(target, row, column);
    u += weight * node.u;
    v += weight * node.v;
  };
  if (i == j) {
    // Triangle (i,i), (i,i+1), (i+1,i+1): x <= y here.
    add(1 - y, i, i);
    add(y - x, i, i + 1);
    add(x, i + 1, i + 1);
  } else {
    add((1 - x) * (1 - y), i, j);
    add(x * (1 - y), i + 1, j);
    add((1 - x) * y, i, j + 1);
    add(x * y, i + 1, j + 1);
  }
  const double ratio = s / t;
  return {ratio + (1 - ratio) * u, (1 - ratio) * v};
}

}  // namespace retort::analytic
