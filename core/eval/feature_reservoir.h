#ifndef RETORT_CORE_EVAL_FEATURE_RESERVOIR_H_
#define RETORT_CORE_EVAL_FEATURE_RESERVOIR_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace retort::eval {

// Keeps at most `capacity` feature vectors of a stream, every one of them with
// the same probability, in memory that does not grow with the stream.
//
// Row i has a random key that is a function of (seed, i); those with the
// smallest keys stay. So what is kept depends on the seed and the order of the
// rows, and not on the batches they come in. Not thread-safe.
class FeatureReservoir {
 public:
  // `capacity` and `dim` are at least 1.
  FeatureReservoir(int64_t dim, int64_t capacity, uint64_t seed);

  // Adds rows of a floating-point [n,dim] tensor. InvalidArgument for another
  // shape or a value that is not finite; nothing is added then.
  absl::Status Add(const at::Tensor& features);

  // Rows seen.
  int64_t count() const { return count_; }

  // Returns float32 [min(count, capacity),dim], in the order of the stream.
  at::Tensor Kept() const;

 private:
  using Entry = std::pair<uint64_t, int64_t>;  // key, index in the stream

  // The row of `rows_` for stream row `index`; -1: it is not kept.
  int64_t PlaceFor(int64_t index);

  const int64_t capacity_;
  const uint64_t seed_;
  int64_t count_ = 0;
  at::Tensor rows_;                // float32 [grown so far,dim]
  std::vector<int64_t> index_of_;  // by row: index in the stream
  // A heap, the largest key on top, with the row instead of the index.
  std::vector<Entry> heap_;
};

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_FEATURE_RESERVOIR_H_
