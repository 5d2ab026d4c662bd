#ifndef RETORT_CORE_ANALYTIC_PCHIP_H_
#define RETORT_CORE_ANALYTIC_PCHIP_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"

namespace retort::analytic {

// Shape-preserving piecewise cubic through (x_k, y_k), float64.
//
// Where the data are locally convex or concave (the second differences at a
// knot and its neighbours have one sign) the slope there is that of the
// quartic through five knots, kept between the two neighbouring secants, as a
// convex curve's is: fourth-order accurate, through smooth turning points
// too. Elsewhere (inflections, noise) it is PCHIP's: Fritsch and Butland's
// weighted harmonic mean of the secants, zero where the data turn, one-sided
// three-point differences at the ends; no overshoot there. PCHIP alone is not
// enough: it flattens a smooth minimum such as that of ln S by 3e-4, which
// the forward jump, a difference, multiplies.
//
// Immutable, thread-safe.
class Pchip {
 public:
  // `x` strictly increasing, two knots or more, all finite; else
  // InvalidArgument.
  static absl::StatusOr<Pchip> Create(std::vector<double> x,
                                      std::vector<double> y);

  // The argument of the three below must lie in [x.front(), x.back()].
  double Value(double at) const;
  // Returns the integral from x.front() to `at`, exact for the cubic.
  double Integral(double at) const;
  // Returns k with x_k <= at <= x_{k+1}.
  size_t Interval(double at) const;

  const std::vector<double>& x() const { return x_; }
  const std::vector<double>& y() const { return y_; }
  // Slopes at the knots.
  const std::vector<double>& slopes() const { return slope_; }
  // Returns Integral(x_k) for every knot.
  const std::vector<double>& knot_integrals() const { return integral_; }

 private:
  Pchip(std::vector<double> x, std::vector<double> y);
  void FillSlopes();
  void RefineSlopes(const std::vector<double>& secant);
  // Slope at knot k of the quartic through five knots around it.
  double QuarticSlope(size_t k) const;

  std::vector<double> x_, y_;
  std::vector<double> slope_;
  std::vector<double> integral_;
};

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_PCHIP_H_
