#include "core/analytic/pchip.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace retort::analytic {
namespace {

// One-sided three-point difference at an end with interval widths h0, h1 and
// secants d0, d1 (0 = the interval at the end), limited to keep the shape.
double EndSlope(double h0, double h1, double d0, double d1) {
  const double slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1);
  if (slope * d0 <= 0) return 0;
  if (d0 * d1 <= 0 && std::abs(slope) > 3 * std::abs(d0)) return 3 * d0;
  return slope;
}

}  // namespace

absl::StatusOr<Pchip> Pchip::Create(std::vector<double> x,
                                    std::vector<double> y) {
  if (x.size() < 2 || x.size() != y.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("an interpolation needs two knots or more and as many "
                     "values as knots; got ",
                     x.size(), " knots and ", y.size(), " values"));
  }
  for (size_t k = 0; k < x.size(); ++k) {
    if (!std::isfinite(x[k]) || !std::isfinite(y[k])) {
      return absl::InvalidArgumentError(
          absl::StrCat("knot ", k, " is not finite: (", x[k], ", ", y[k], ")"));
    }
    if (k > 0 && x[k] <= x[k - 1]) {
      return absl::InvalidArgumentError(absl::StrCat(
          "knots must increase; knot ", k, " is ", x[k], " after ", x[k - 1]));
    }
  }
  return Pchip(std::move(x), std::move(y));
}

Pchip::Pchip(std::vector<double> x, std::vector<double> y)
    : x_(std::move(x)), y_(std::move(y)) {
  FillSlopes();
  integral_.assign(x_.size(), 0.0);
  for (size_t k = 0; k + 1 < x_.size(); ++k) {
    const double h = x_[k + 1] - x_[k];
    // Integral of the Hermite cubic over its whole interval.
    integral_[k + 1] = integral_[k] + h * (y_[k] + y_[k + 1]) / 2 +
                       h * h * (slope_[k] - slope_[k + 1]) / 12;
  }
}

void Pchip::FillSlopes() {
  const size_t n = x_.size();
  std::vector<double> h(n - 1), secant(n - 1);
  for (size_t k = 0; k + 1 < n; ++k) {
    h[k] = x_[k + 1] - x_[k];
    secant[k] = (y_[k + 1] - y_[k]) / h[k];
  }
  slope_.assign(n, secant[0]);
  if (n == 2) return;
  slope_[0] = EndSlope(h[0], h[1], secant[0], secant[1]);
  slope_[n - 1] = EndSlope(h[n - 2], h[n - 3], secant[n - 2], secant[n - 3]);
  for (size_t k = 1; k + 1 < n; ++k) {
    if (secant[k - 1] * secant[k] <= 0) {
      slope_[k] = 0;
      continue;
    }
    const double w0 = 2 * h[k] + h[k - 1];
    const double w1 = h[k] + 2 * h[k - 1];
    slope_[k] = (w0 + w1) / (w0 / secant[k - 1] + w1 / secant[k]);
  }
  if (n >= 5) RefineSlopes(secant);
}

void Pchip::RefineSlopes(const std::vector<double>& secant) {
  const size_t n = x_.size();
  for (size_t k = 0; k < n; ++k) {
    // Second differences exist at knots 1 to n - 2.
    const size_t first = std::max<size_t>(k, 2) - 1;
    const size_t last = std::min(k + 1, n - 2);
    bool convex = true, concave = true;
    for (size_t i = first; i <= last; ++i) {
      convex = convex && secant[i] > secant[i - 1];
      concave = concave && secant[i] < secant[i - 1];
    }
    if (!convex && !concave) continue;
    const double slope = QuarticSlope(k);
    if (k > 0 && k + 1 < n) {
      const auto [low, high] = std::minmax(secant[k - 1], secant[k]);
      slope_[k] = std::clamp(slope, low, high);
      continue;
    }
    // At an end the secant bounds the slope from one side; the other bound is
    // PCHIP's.
    const double d = k == 0 ? secant[0] : secant[n - 2];
    const bool above = (k == 0) == concave;
    const double far = d + (above ? 1 : -1) * 2 * std::abs(d);
    slope_[k] = above ? std::clamp(slope, d, far) : std::clamp(slope, far, d);
  }
}

double Pchip::QuarticSlope(size_t k) const {
  const size_t begin = std::min(std::max<size_t>(k, 2) - 2, x_.size() - 5);
  double slope = 0;
  for (size_t j = begin; j < begin + 5; ++j) {
    // Derivative at x_k of the Lagrange polynomial of knot j.
    double weight = 0;
    if (j == k) {
      for (size_t m = begin; m < begin + 5; ++m) {
        if (m != k) weight += 1 / (x_[k] - x_[m]);
      }
    } else {
      weight = 1 / (x_[j] - x_[k]);
      for (size_t m = begin; m < begin + 5; ++m) {
        if (m != j && m != k) weight *= (x_[k] - x_[m]) / (x_[j] - x_[m]);
      }
    }
    slope += weight * y_[j];
  }
  return slope;
}

size_t Pchip::Interval(double at) const {
  const auto above = std::upper_bound(x_.begin(), x_.end(), at);
  const auto k = std::max<std::ptrdiff_t>(above - x_.begin() - 1, 0);
  return std::min<size_t>(k, x_.size() - 2);
}

double Pchip::Value(double at) const {
  const size_t k = Interval(at);
  const double h = x_[k + 1] - x_[k];
  const double u = (at - x_[k]) / h;
  const double v = 1 - u;
  return v * v * (1 + 2 * u) * y_[k] + u * u * (1 + 2 * v) * y_[k + 1] +
         h * u * v * (v * slope_[k] - u * slope_[k + 1]);
}

double Pchip::Integral(double at) const {
  const size_t k = Interval(at);
  const double h = x_[k + 1] - x_[k];
  const double u = (at - x_[k]) / h;
  const double u2 = u * u, u3 = u2 * u, u4 = u2 * u2;
  // Antiderivatives of the four Hermite basis functions.
  const double value0 = u - u3 + u4 / 2;
  const double value1 = u3 - u4 / 2;
  const double slope0 = u2 / 2 - 2 * u3 / 3 + u4 / 4;
  const double slope1 = u4 / 4 - u3 / 3;
  return integral_[k] + h * (value0 * y_[k] + value1 * y_[k + 1]) +
         h * h * (slope0 * slope_[k] + slope1 * slope_[k + 1]);
}

}  // namespace retort::analytic
