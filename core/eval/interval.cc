#include "core/eval/interval.h"

#include <cmath>
#include <numeric>

#include "core/base/check.h"

namespace retort::eval {
namespace {

// P(|T| <= sqrt(n) tan(theta)) for n degrees of freedom: Abramowitz and Stegun
// 26.7.3 and 26.7.4.
double CentralProbability(double theta, int64_t n) {
  const double c = std::cos(theta);
  const bool odd = n % 2 == 1;
  double term = odd ? c : 1;
  double sum = n == 1 ? 0 : term;
  for (int64_t k = odd ? 2 : 1; k <= n - 3; k += 2) {
    term *= static_cast<double>(k) / static_cast<double>(k + 1) * c * c;
    sum += term;
  }
  const double s = std::sin(theta);
  return odd ? 2 / M_PI * (theta + s * sum) : s * sum;
}

}  // namespace

double StudentQuantile975(int64_t degrees_of_freedom) {
  RETORT_CHECK(degrees_of_freedom >= 1);
  double low = 0;
  double high = M_PI / 2;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    const double p = CentralProbability(middle, degrees_of_freedom);
    (p < 0.95 ? low : high) = middle;
  }
  return std::sqrt(static_cast<double>(degrees_of_freedom)) * std::tan(low);
}

MeanInterval MeanOf(const std::vector<double>& values) {
  RETORT_CHECK(!values.empty());
  const auto n = static_cast<double>(values.size());
  MeanInterval result;
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() == 1) return result;
  double squares = 0;
  for (const double v : values) {
    squares += (v - result.mean) * (v - result.mean);
  }
  const double error = std::sqrt(squares / (n - 1) / n);
  const double t = StudentQuantile975(static_cast<int64_t>(values.size()) - 1);
  result.low = result.mean - t * error;
  result.high = result.mean + t * error;
  return result;
}

}  // namespace retort::eval
