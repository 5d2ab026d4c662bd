#ifndef RETORT_CORE_ANALYTIC_ANALYTIC_TABLE_H_
#define RETORT_CORE_ANALYTIC_ANALYTIC_TABLE_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/analytic/estimator.h"
#include "core/analytic/pchip.h"

namespace retort::analytic {

// f = a x + b D.
struct JumpCoefficients {
  double a = 1;
  double b = 0;
};

// Analytic-Precond's tables (arXiv 2502.02922, section 3). With
// lambda = -ln t, D = g + l x and
//
//   L = exp(int (1 - l) dlambda),  S,  dE = (L / S) dlambda
//
// the ODE dx/dlambda = D - x reads d(L x)/dE = S g, and one Euler step from
// E_t to E_s is a jump. l and ln S are shape-preserving cubics through the
// knots, the exponent of L is that cubic's exact integral, E is
// Gauss-Legendre quadrature per knot interval.
//
// Everything is computed relative to the point of arrival, through
//
//   q = int_{lambda_t}^{lambda_s} (L/L_s) (S_s/S) dlambda = dE S_s / L_s,
//
// a sum of positive terms of the order of 1: no difference of two large E,
// no overflow however far L and S range. Immutable, thread-safe.
class AnalyticTable {
 public:
  // `lambda` increasing; `ln_s` up to a constant. InvalidArgument when the
  // knots are unusable or a jump between two of them is singular.
  static absl::StatusOr<std::shared_ptr<const AnalyticTable>> Create(
      std::vector<double> lambda, std::vector<double> l,
      std::vector<double> ln_s);

  // The same from l and E|g|^2 per knot. Where g is too small to know S
  // (`resolved` false) ln S is interpolated between the nearest resolved
  // knots; where it is so at half of the knots or more (isotropic Gaussian
  // data: g = 0, S = 0/0) S is taken as constant everywhere, which keeps the
  // jump finite and exact.
  static absl::StatusOr<std::shared_ptr<const AnalyticTable>> FromMeanSquares(
      std::vector<double> lambda, std::vector<double> l,
      const std::vector<double>& g_mean_square,
      const std::vector<bool>& resolved);

  // The same from l and s per knot: ln S is the exact integral of the cubic
  // through s. Where g is not resolved s is interpolated, as above.
  static absl::StatusOr<std::shared_ptr<const AnalyticTable>> FromLogSlopes(
      std::vector<double> lambda, std::vector<double> l, std::vector<double> s,
      const std::vector<bool>& resolved);

  // By the estimator of S that the statistics were made with.
  static absl::StatusOr<std::shared_ptr<const AnalyticTable>> FromStatistics(
      const TeacherStatistics& statistics);

  // The jumps, for t_min() <= s <= t <= t_max(). Exactly {1, 0} at t = s.
  //   backward: a = L_t/(L_s + dE S_s l_s),  b = dE S_s/(L_s + dE S_s l_s)
  //   forward:  a = (L_t - dE S_t l_t)/L_s,  b = dE S_t/L_s
  JumpCoefficients Backward(double t, double s) const;
  JumpCoefficients Forward(double t, double s) const;

  double t_min() const { return t_min_; }
  double t_max() const { return t_max_; }

  // At any t in range; ln L and ln S are 0 at t_max().
  double LittleL(double t) const { return l_.Value(Lambda(t)); }
  double LnL(double t) const { return LnLAt(Lambda(t)); }
  double LnS(double t) const { return ln_s_.Value(Lambda(t)); }

  const std::vector<double>& lambda() const { return l_.x(); }
  const std::vector<double>& l() const { return l_.y(); }
  const std::vector<double>& ln_s() const { return ln_s_.y(); }

 private:
  AnalyticTable(Pchip l, Pchip ln_s);

  double Lambda(double t) const;  // clamped to the knots
  double LnLAt(double lambda) const;
  // ln(L/S), the exponent of dE/dlambda.
  double LnWeight(double lambda) const;
  // int exp(LnWeight - reference) over part of one knot interval.
  double Integrate(double from, double to, double reference) const;
  // q above.
  double RelativeStep(double lambda_t, double lambda_s) const;

  const Pchip l_;
  const Pchip ln_s_;
  double t_min_, t_max_;
  std::vector<double> ln_weight_;  // LnWeight at the knots
  // int exp(LnWeight - ln_weight_[k]) over [lambda_k, lambda_{k+1}].
  std::vector<double> step_;
};

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_ANALYTIC_TABLE_H_
