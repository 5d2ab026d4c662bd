#ifndef RETORT_CORE_SAMPLE_SAMPLE_NOISE_H_
#define RETORT_CORE_SAMPLE_SAMPLE_NOISE_H_

#include <ATen/ATen.h>

#include <cstdint>

#include "absl/types/span.h"

namespace retort::sample {

// What one image's noise depends on, and nothing else: not the images beside
// it, not the batch size, not the device.
struct NoiseKey {
  uint64_t seed = 0;
  int64_t image = 0;  // index within the seed
  // 0 for the first noise; k + 1 for the noise added before step k of a plan.
  uint64_t draw = 0;
};

// Returns standard normals, float32 on the CPU, [keys.size(), shape...].
at::Tensor SampleNoise(absl::Span<const NoiseKey> keys, at::IntArrayRef shape);

}  // namespace retort::sample

#endif  // RETORT_CORE_SAMPLE_SAMPLE_NOISE_H_
