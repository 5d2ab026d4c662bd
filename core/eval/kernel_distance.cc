#include "core/eval/kernel_distance.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/math/counter_random.h"

namespace retort::eval {
namespace {

// k(x, y) = (x'y/d + 1)^3 for all pairs.
at::Tensor CubicKernel(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor k = x.mm(y.t()).div_(static_cast<double>(x.size(1))).add_(1);
  return (k * k).mul_(k);
}

// Mean of k over pairs of different rows.
double MeanOffDiagonal(const at::Tensor& kernel) {
  const auto n = static_cast<double>(kernel.size(0));
  const at::Tensor sum = kernel.sum() - kernel.diagonal().sum();
  return sum.item<double>() / (n * (n - 1));
}

// `size` rows of x, chosen at random without replacement: those with the
// smallest random keys.
at::Tensor RandomRows(const at::Tensor& x, int64_t size,
                      const math::Stream& stream, uint64_t side) {
  const int64_t n = x.size(0);
  if (size == n) return x.to(at::kDouble);
  std::vector<std::pair<uint64_t, int64_t>> keys(n);
  for (int64_t i = 0; i < n; ++i) {
    keys[i] = {math::Hash64(stream, 2 * static_cast<uint64_t>(i) + side), i};
  }
  std::nth_element(keys.begin(), keys.begin() + size, keys.end());
  std::vector<int64_t> rows(size);
  for (int64_t i = 0; i < size; ++i) rows[i] = keys[i].second;
  std::sort(rows.begin(), rows.end());
  return x.index_select(0, at::tensor(rows, at::kLong)).to(at::kDouble);
}

void Summarize(const std::vector<double>& values, KernelDistance* result) {
  const auto n = static_cast<double>(values.size());
  result->mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double v : values) {
    squares += (v - result->mean) * (v - result->mean);
  }
  if (values.size() > 1) result->deviation = std::sqrt(squares / (n - 1));
}

}  // namespace

double UnbiasedSquaredMmd(const at::Tensor& a, const at::Tensor& b) {
  return MeanOffDiagonal(CubicKernel(a, a)) +
         MeanOffDiagonal(CubicKernel(b, b)) -
         2 * CubicKernel(a, b).mean().item<double>();
}

absl::StatusOr<KernelDistance> ComputeKernelDistance(
    const at::Tensor& a, const at::Tensor& b,
    const KernelDistanceOptions& options) {
  if (!a.defined() || !b.defined() || a.dim() != 2 || b.dim() != 2 ||
      a.size(1) != b.size(1) || a.size(0) < 2 || b.size(0) < 2) {
    return absl::InvalidArgumentError(
        "kernel distance: both sets must be [n,d] with the same d and at "
        "least 2 rows");
  }
  if (options.subset_size < 2 || options.subsets < 1) {
    return absl::InvalidArgumentError(
        "kernel distance: subsets must have at least 2 rows, and there must "
        "be at least 1");
  }
  KernelDistance result;
  result.subset_size = std::min({options.subset_size, a.size(0), b.size(0)});
  const bool all =
      result.subset_size == a.size(0) && result.subset_size == b.size(0);
  result.subsets = all ? 1 : options.subsets;
  std::vector<double> values;
  for (int64_t i = 0; i < result.subsets; ++i) {
    if (options.stop && options.stop()) {
      return absl::CancelledError("kernel distance: stopped");
    }
    const math::Stream stream =
        math::MakeStream(options.seed, math::RandomStream::kEvaluation, 2 + i);
    values.push_back(
        UnbiasedSquaredMmd(RandomRows(a, result.subset_size, stream, 0),
                           RandomRows(b, result.subset_size, stream, 1)));
  }
  Summarize(values, &result);
  return result;
}

}  // namespace retort::eval
