#ifndef RETORT_CORE_EVAL_INTERVAL_H_
#define RETORT_CORE_EVAL_INTERVAL_H_

#include <cstdint>
#include <vector>

namespace retort::eval {

struct MeanInterval {
  double mean = 0;
  // 95 % confidence interval of the mean; both 0 with one value.
  double low = 0;
  double high = 0;
};

// Mean of independent values, and Student's interval: mean +- t s/sqrt(n), s
// with n - 1. `values` is not empty.
MeanInterval MeanOf(const std::vector<double>& values);

// The 97.5 % quantile of Student's t distribution.
double StudentQuantile975(int64_t degrees_of_freedom);

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_INTERVAL_H_
