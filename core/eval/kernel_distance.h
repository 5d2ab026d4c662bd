#ifndef RETORT_CORE_EVAL_KERNEL_DISTANCE_H_
#define RETORT_CORE_EVAL_KERNEL_DISTANCE_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"

namespace retort::eval {

// The customary subsets (Binkowski et al. 2018).
struct KernelDistanceOptions {
  int64_t subset_size = 1000;  // the smaller set's size if that is smaller
  int64_t subsets = 100;
  uint64_t seed = 0;
  // Polled between subsets; true ends with Cancelled. May be empty.
  std::function<bool()> stop;
};

struct KernelDistance {
  double mean = 0;       // over subsets
  double deviation = 0;  // standard deviation over subsets, n - 1; 0 with one
  int64_t subset_size = 0;
  int64_t subsets = 0;
};

// Returns the kernel inception distance between two sets of features, [m,d] and
// [n,d] (Binkowski et al. 2018, section 3 and Eq. 4): the unbiased squared
// maximum mean discrepancy with the kernel k(x, y) = (x'y/d + 1)^3, averaged
// over subsets drawn without replacement. It may be slightly negative. When
// both sets are no larger than a subset there is but one, of everything.
//
// float64. Subsets are a function of the seed. InvalidArgument for fewer than
// two rows, or lengths that differ.
absl::StatusOr<KernelDistance> ComputeKernelDistance(
    const at::Tensor& a, const at::Tensor& b,
    const KernelDistanceOptions& options = {});

// The squared discrepancy of all rows: float64 [m,d] and [n,d], m and n at
// least 2.
double UnbiasedSquaredMmd(const at::Tensor& a, const at::Tensor& b);

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_KERNEL_DISTANCE_H_
