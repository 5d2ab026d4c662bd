#include "core/sample/sample_noise.h"

#include <vector>

#include "core/math/counter_random.h"

namespace retort::sample {

at::Tensor SampleNoise(absl::Span<const NoiseKey> keys, at::IntArrayRef shape) {
  std::vector<at::Tensor> parts;
  std::vector<int64_t> images;
  for (size_t i = 0; i < keys.size(); ++i) {
    images.push_back(keys[i].image);
    // Neighbours of one request share a call.
    const bool run_ends = i + 1 == keys.size() ||
                          keys[i + 1].seed != keys[i].seed ||
                          keys[i + 1].draw != keys[i].draw;
    if (!run_ends) continue;
    parts.push_back(math::NormalPerSample(
        math::MakeStream(keys[i].seed, math::RandomStream::kSampleNoise,
                         keys[i].draw),
        images, shape));
    images.clear();
  }
  if (parts.empty()) {
    std::vector<int64_t> empty = {0};
    empty.insert(empty.end(), shape.begin(), shape.end());
    return at::zeros(empty, at::kFloat);
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

}  // namespace retort::sample
