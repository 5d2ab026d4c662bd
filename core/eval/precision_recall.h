#ifndef RETORT_CORE_EVAL_PRECISION_RECALL_H_
#define RETORT_CORE_EVAL_PRECISION_RECALL_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"

namespace retort::eval {

struct PrecisionRecallOptions {
  int64_t neighbours = 3;
  // Polled between blocks; true ends with Cancelled. May be empty.
  std::function<bool()> stop;
};

struct PrecisionRecall {
  double precision = 0;  // share of generated images that look real
  double recall = 0;     // share of real images that could be generated
};

// Returns improved precision and recall (Kynkaanniemi et al. 2019, Eq. 1 and
// 2). A set of features covers a point that lies in the ball of one of its
// features, whose radius is the distance to the feature's k-th nearest
// neighbour in the set, itself not counted. Precision is the share of
// `generated` [m,d] that `real` [n,d] covers; recall the other way round.
//
// Distances are computed in float64 as differences, not by |x|^2 - 2x'y +
// |y|^2, so that equal features are at distance 0; in blocks of at most 32 MiB,
// O((m + n)^2 d) work. InvalidArgument unless each set has more than k rows.
absl::StatusOr<PrecisionRecall> ComputePrecisionRecall(
    const at::Tensor& real, const at::Tensor& generated,
    const PrecisionRecallOptions& options = {});

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_PRECISION_RECALL_H_
