#ifndef RETORT_CORE_EVAL_FEATURE_STATISTICS_H_
#define RETORT_CORE_EVAL_FEATURE_STATISTICS_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace retort::eval {

// Mean and covariance of feature vectors that arrive in batches, in float64.
//
//   FeatureStatistics statistics(64);
//   for (...) RETORT_RETURN_IF_ERROR(statistics.Add(features));  // [n,64]
//   RETORT_ASSIGN_OR_RETURN(at::Tensor sigma, statistics.Covariance());
//
// It keeps count, mean and the scatter matrix sum (f - mean)(f - mean)', and
// joins batches by Chan, Golub and LeVeque's update, so that the result does
// not lose digits when the mean is large beside the spread (as F'F - N mu mu'
// does). Parts computed elsewhere (ranks) join with Merge(). The order of
// batches changes the result in the last digits only; the same order gives
// the same bits.
//
// Copies are deep. Not thread-safe.
class FeatureStatistics {
 public:
  // `dim` is the length of a feature vector, at least 1.
  explicit FeatureStatistics(int64_t dim);
  FeatureStatistics(const FeatureStatistics& other);
  FeatureStatistics& operator=(const FeatureStatistics& other);

  // Adds rows of a floating-point [n,dim] tensor on any device; n = 0 is fine.
  // InvalidArgument for another shape or dtype, or a value that is not
  // finite; nothing is added then.
  absl::Status Add(const at::Tensor& features);

  // Adds all that `other` has seen. InvalidArgument when the lengths differ.
  absl::Status Merge(const FeatureStatistics& other);

  int64_t dim() const { return mean_.size(0); }
  int64_t count() const { return count_; }

  // Returns float64 [dim]. FailedPrecondition before the first row.
  absl::StatusOr<at::Tensor> Mean() const;

  // Returns the unbiased (n - 1) covariance, float64 [dim,dim], symmetric.
  // FailedPrecondition below two rows.
  absl::StatusOr<at::Tensor> Covariance() const;

  // The whole state as tensors "count" (int64 scalar), "mean" and "scatter",
  // for a file or another process.
  std::map<std::string, at::Tensor> ToTensors() const;

  // InvalidArgument, naming the tensor, for anything that ToTensors() cannot
  // have written.
  static absl::StatusOr<FeatureStatistics> FromTensors(
      const std::map<std::string, at::Tensor>& tensors);

 private:
  void Join(int64_t count, const at::Tensor& mean, const at::Tensor& scatter);

  int64_t count_ = 0;
  at::Tensor mean_;     // float64 [dim]
  at::Tensor scatter_;  // float64 [dim,dim]
};

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_FEATURE_STATISTICS_H_
