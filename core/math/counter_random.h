#ifndef RETORT_CORE_MATH_COUNTER_RANDOM_H_
#define RETORT_CORE_MATH_COUNTER_RANDOM_H_

#include <ATen/ATen.h>

#include <array>
#include <cstdint>

#include "absl/types/span.h"

// Random numbers without state: every number is a pure function of (seed,
// stream, step, sample index, position), made with Philox4x32-10 (Salmon et
// al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). A resumed run
// draws what the first run would have drawn, and what a sample draws does not
// depend on how a batch is divided over ranks or requests.
//
//   Tensor eps = NormalPerSample(
//       MakeStream(seed, RandomStream::kTrainNoise, step), indices, {1, 32,
//       32});
namespace retort::math {

// One number for each purpose, so that no two purposes share draws. Values are
// part of what a seed means: never change or reuse one.
enum class RandomStream : uint32_t {
  kDataOrder = 1,
  kTrainNoise = 2,
  kTrainTime = 3,
  kDropout = 4,
  kSampleNoise = 5,
  kEstimate = 6,
  kInit = 7,
  kOdeSteps = 8,
  kDenoisingNoise = 9,
  kDenoisingTime = 10,
  kDenoisingGridTime = 11,
  kAugment = 12,
  kSampleLabel = 13,
  kTrajectory = 14,
  kEvaluation = 15,
  kAugmentNormal = 16,
};

struct Stream {
  uint64_t seed = 0;
  uint32_t stream = 0;  // a RandomStream
  uint64_t step = 0;
};

Stream MakeStream(uint64_t seed, RandomStream stream, uint64_t step);

// The Philox4x32-10 block function itself.
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter,
                                   std::array<uint32_t, 2> key);

// 64 random bits for (stream, index).
uint64_t Hash64(const Stream& stream, uint64_t index);

// Standard normals, float32 on the CPU, [n, sample_shape...]. Row i depends
// only on (stream, sample_indices[i]) and on the position in the row.
at::Tensor NormalPerSample(const Stream& stream,
                           absl::Span<const int64_t> sample_indices,
                           at::IntArrayRef sample_shape);

// Uniforms in [0, 1) with 53 random bits, float64 on the CPU, [n, k]. Row i
// depends only on (stream, sample_indices[i]). Do not draw normals and uniforms
// from the same (stream, step): they would use the same bits.
at::Tensor UniformPerSample(const Stream& stream,
                            absl::Span<const int64_t> sample_indices,
                            int64_t k);

// The k-th uniform in [0, 1) of a stream that belongs to no sample.
double UniformScalar(const Stream& stream, uint64_t k);

}  // namespace retort::math

#endif  // RETORT_CORE_MATH_COUNTER_RANDOM_H_
