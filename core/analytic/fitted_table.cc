#include "core/analytic/fitted_table.h"

#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace retort::analytic {
namespace {

// Relative to the vectors that a basis vector is a difference of.
constexpr double kRidge = 1e-14;
constexpr double kLargestV = 100;

// Solves [[xx, xy], [xy, yy]] (p, q) = (rx, ry), positive definite.
std::pair<double, double> SolvePositive(double xx, double xy, double yy,
                                        double rx, double ry) {
  // Scaled to a unit diagonal: the two differ by orders of magnitude.
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
    TrajectoryMoments moments, double sigma_data) {
  const absl::Status usable = CheckMoments(moments);
  if (!usable.ok()) return usable;
  moments.gram = moments.gram.cpu().contiguous();
  return std::shared_ptr<const FittedTable>(
      new FittedTable(std::move(moments), sigma_data));
}

FittedTable::FittedTable(TrajectoryMoments moments, double sigma_data)
    : moments_(std::move(moments)),
      sigma_data_(sigma_data),
      grid_(moments_.times) {
  const int64_t n = moments_.n();
  state_.resize(n * n);
  denoiser_.resize(n * n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i + 1; j < n; ++j) SolvePair(i, j);
  }
}

void FittedTable::SolvePair(int64_t i, int64_t j) {
  const int64_t at = i * moments_.n() + j;
  state_[at] = SolveState(i, j);
  if (!SolveDenoiser(i, j, &denoiser_[at])) ++replaced_pairs_;
}

// x_j = ctm's step + r with r ~ p x_i + q h, h = D_i - c x_i: at large t and
// at small t alike, h is what D adds to x. Then b = (1 - s/t) + q and
// a = s/t + p - q c.
FittedTable::Deviation FittedTable::SolveState(int64_t i, int64_t j) const {
  const auto g = moments_.gram.accessor<double, 2>();
  const int64_t k = moments_.n() + i;  // D_i
  const double t = moments_.times[i], s = moments_.times[j];
  const double ratio = s / t, width = 1 - ratio;
  const double c =
      sigma_data_ * sigma_data_ / (sigma_data_ * sigma_data_ + t * t);
  const double hx = g[k][i] - c * g[i][i];
  const double hh =
      g[k][k] - 2 * c * g[k][i] + c * c * g[i][i] + kRidge * g[k][k];
  const double rx = g[j][i] - ratio * g[i][i] - width * g[k][i];
  const double rd = g[j][k] - ratio * g[i][k] - width * g[k][k];
  const auto [p, q] =
      SolvePositive(g[i][i] * (1 + kRidge), hx, hh, rx, rd - c * rx);
  return {(p - q * c) / width, 1 + q / width};
}

// D_i ~ P y + Q x_i with y = x_j - m x_i, m the jump of isotropic data: what
// the trajectory does beside that. ctm is P_0 = t/(t-s), Q_0 = 1 + P_0 (m - 1);
// the rest z = D_i - P_0 y - Q_0 x_i is fitted. Then b = 1/P and a = m - Q/P.
bool FittedTable::SolveDenoiser(int64_t i, int64_t j, Deviation* out) const {
  const auto g = moments_.gram.accessor<double, 2>();
  const int64_t k = moments_.n() + i;  // D_i
  const double t = moments_.times[i], s = moments_.times[j];
  const double width = 1 - s / t;
  const double sd2 = sigma_data_ * sigma_data_;
  const double m = std::sqrt((sd2 + s * s) / (sd2 + t * t));
  const double p0 = 1 / width, q0 = 1 + p0 * (m - 1);
  const double yx = g[j][i] - m * g[i][i];
  const double yy =
      g[j][j] - 2 * m * g[j][i] + m * m * g[i][i] + kRidge * g[j][j];
  const double dy = g[k][j] - m * g[k][i];
  const double zy = dy - p0 * yy - q0 * yx;
  const double zx = g[k][i] - p0 * yx - q0 * g[i][i];
  const auto [p, q] = SolvePositive(yy, yx, g[i][i] * (1 + kRidge), zy, zx);
  const double b = 1 / (p0 + p);
  const Deviation found = {(m - (q0 + q) * b - s / t) / width, b / width};
  if (!std::isfinite(found.u) || !(found.v > 0 && found.v <= kLargestV)) {
    return false;
  }
  *out = found;
  return true;
}

const FittedTable::Deviation& FittedTable::Node(FitTarget target, int64_t i,
                                                int64_t j) const {
  return (target == FitTarget::kState ? state_
                                      : denoiser_)[i * moments_.n() + j];
}

JumpCoefficients FittedTable::Pair(FitTarget target, int64_t i,
                                   int64_t j) const {
  return At(target, moments_.times[i], moments_.times[j]);
}

JumpCoefficients FittedTable::At(FitTarget target, double t, double s) const {
  GridInterpolation::Node nodes[4];
  grid_.Nodes(t, s, nodes);
  double u = 0, v = 0;
  for (const GridInterpolation::Node& at : nodes) {
    const Deviation& node = Node(target, at.i, at.j);
    u += at.weight * node.u;
    v += at.weight * node.v;
  }
  const double ratio = s / t;
  return {ratio + (1 - ratio) * u, (1 - ratio) * v};
}

}  // namespace retort::analytic
