#ifndef RETORT_CORE_EVAL_INCEPTION_SCORE_H_
#define RETORT_CORE_EVAL_INCEPTION_SCORE_H_

#include <ATen/ATen.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace retort::eval {

// The inception score (Salimans et al. 2016, section 4), from class logits
// that arrive in batches: exp of the mean divergence KL(p(y|x) || p(y)) within
// each of `splits` parts of the stream, averaged over the parts. Between 1 and
// the number of classes.
//
//   InceptionScore score(10, 50000);
//   for (...) RETORT_RETURN_IF_ERROR(score.Add(logits));  // [n,10]
//   RETORT_ASSIGN_OR_RETURN(double value, score.Mean());
//
// Per part the sums of p and of p log p are kept, in float64: constant memory,
// and batches make no difference but for rounding. Not thread-safe.
class InceptionScore {
 public:
  static constexpr int64_t kSplits = 10;

  // `total` images are to come, and part k is images [k total/splits,
  // (k+1) total/splits). With fewer images than parts each is a part. `classes`
  // at least 2, `total` at least 1.
  InceptionScore(int64_t classes, int64_t total, int64_t splits = kSplits);

  // Adds floating-point [n,classes]. InvalidArgument for another shape, values
  // that are not finite, or more rows than were announced.
  absl::Status Add(const at::Tensor& logits);

  // FailedPrecondition before all rows are there.
  absl::StatusOr<double> Mean() const;
  int64_t splits() const { return splits_; }

 private:
  // First row of part k.
  int64_t Begin(int64_t k) const { return k * total_ / splits_; }

  const int64_t total_;
  const int64_t splits_;
  int64_t count_ = 0;
  int64_t part_ = 0;    // that the next row belongs to
  at::Tensor p_;        // float64 [splits,classes]: sum of p
  at::Tensor p_log_p_;  // float64 [splits]: sum of p log p, over classes too
};

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_INCEPTION_SCORE_H_
