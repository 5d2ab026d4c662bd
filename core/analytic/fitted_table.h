#ifndef RETORT_CORE_ANALYTIC_FITTED_TABLE_H_
#define RETORT_CORE_ANALYTIC_FITTED_TABLE_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/analytic/analytic_table.h"
#include "core/analytic/grid_interpolation.h"
#include "core/analytic/trajectory_moments.h"

namespace retort::analytic {

enum class FitTarget {
  kState,     // least |a x_t + b D - x_s|: "fitted-state"
  kDenoiser,  // least |D - (x_s - a x_t)/b|: "fitted-denoiser"
};

// Preconditionings fitted to the teacher's own trajectories (this project's;
// math.md section 4). For every pair t_i > t_j of a time grid, (a, b) is a
// 2x2 least-squares solve:
//
//   state:     x_j        on (x_i, D_i):   x_j ~ a x_i + b D_i
//   denoiser:  D_i        on (x_j, x_i):   D_i ~ (x_j - a x_i) / b
//
// solved as a deviation from Euler's step (ctm), in a basis whose vectors are
// well apart (x and D, or x_i and x_j, are nearly parallel at either end of
// the time scale), with a ridge on the deviation just above rounding: where
// the problem is singular (isotropic Gaussian data) this picks the solution
// next to ctm's, and elsewhere it changes nothing that one could measure.
//
// Between grid pairs, what is interpolated is
//
//   u = (a - s/t) / (1 - s/t),   v = b / (1 - s/t),
//
// as GridInterpolation does. Then a = s/t + (1 - s/t) u and b = (1 - s/t) v are
// 1 and 0 exactly at t = s, grid pairs are met exactly, and u = 0, v = 1 is
// ctm. (1 - s/t = 1 - exp(-(lambda_s - lambda_t)) goes as lambda_s - lambda_t
// near the diagonal, where the identities need it, and keeps u, v bounded and
// smooth on long jumps.)
//
// On the diagonal u = 0 and v = 1: as lambda_s -> lambda_t = lambda, x_s =
// x_t + (lambda_s - lambda)(D - x_t) + O((lambda_s - lambda)^2), so the limit
// of either fit is da/dlambda_s = -1, db/dlambda_s = 1 for any teacher, which
// is ctm's slope.
//
// Immutable, thread-safe.
class FittedTable {
 public:
  // Solves every pair. `sigma_data`, the data's rough scale, chooses the
  // bases and does not change what is solved. InvalidArgument for moments
  // that are no moments.
  static absl::StatusOr<std::shared_ptr<const FittedTable>> Fit(
      TrajectoryMoments moments, double sigma_data = 0.5);

  // For t_min() <= s <= t <= t_max(). Exactly {1, 0} at t = s.
  JumpCoefficients At(FitTarget target, double t, double s) const;

  // The fit of grid pair (i, j), i <= j.
  JumpCoefficients Pair(FitTarget target, int64_t i, int64_t j) const;

  double t_min() const { return moments_.times.back(); }
  double t_max() const { return moments_.times.front(); }
  const TrajectoryMoments& moments() const { return moments_; }

  // Pairs of the denoiser fit whose b came out above 100 (1 - s/t), or
  // negative: there D says nothing about x_s, and ctm's values stand in.
  int64_t replaced_pairs() const { return replaced_pairs_; }

 private:
  // u and v of a pair.
  struct Deviation {
    double u = 0;
    double v = 1;
  };

  FittedTable(TrajectoryMoments moments, double sigma_data);
  void SolvePair(int64_t i, int64_t j);
  Deviation SolveState(int64_t i, int64_t j) const;
  // False if D says nothing about x_j.
  bool SolveDenoiser(int64_t i, int64_t j, Deviation* out) const;
  const Deviation& Node(FitTarget target, int64_t i, int64_t j) const;

  const TrajectoryMoments moments_;
  const double sigma_data_;
  const GridInterpolation grid_;
  std::vector<Deviation> state_, denoiser_;  // [N, N], upper triangle
  int64_t replaced_pairs_ = 0;
};

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_FITTED_TABLE_H_
