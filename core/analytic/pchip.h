#ifndef RETORT_CORE_ANALYTIC_PCHIP_H_
#define RETORT_CORE_ANALYTIC_PCHIP_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"

namespace retort::analytic {

// Shape-preserving piecewise cubic through (x_k, y_k): the slopes are Fritsch
// and Butland's weighted harmonic means, zero where the data turn, and
// three-point one-sided differences, limited to keep the shape, at the ends.
// So it never overshoots its data: an estimated l stays between neighbouring
// knots' values, where a spline could swing out of [0, 1]. The same rule as
// scipy's PchipInterpolator. All float64. Immutable, thread-safe.
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
  // Returns Integral(x_k) for every knot.
  const std::vector<double>& knot_integrals() const { return integral_; }

 private:
  Pchip(std::vector<double> x, std::vector<double> y);
  void FillSlopes();

  std::vector<double> x_, y_;
  std::vector<double> slope_;
  std::vector<double> integral_;
};

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_PCHIP_H_
