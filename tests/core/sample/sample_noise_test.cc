#include "core/sample/sample_noise.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace retort::sample {
namespace {

TEST(SampleNoiseTest, AnImagesNoiseDoesNotDependOnItsNeighbours) {
  const NoiseKey keys[] = {{1, 0, 0}, {1, 5, 0}, {2, 5, 0}, {1, 5, 3}};
  const at::Tensor together = SampleNoise(keys, {3, 4, 4});
  for (int64_t i = 0; i < 4; ++i) {
    const at::Tensor alone = SampleNoise({keys[i]}, {3, 4, 4});
    EXPECT_TRUE(at::equal(together[i], alone[0]));
  }
}

TEST(SampleNoiseTest, SeedImageAndDrawEachGiveOtherNoise) {
  const NoiseKey keys[] = {{1, 0, 0}, {2, 0, 0}, {1, 1, 0}, {1, 0, 1}};
  const at::Tensor noise = SampleNoise(keys, {16});
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      EXPECT_FALSE(at::equal(noise[i], noise[j]));
    }
  }
}

TEST(SampleNoiseTest, NoKeysGiveAnEmptyBatch) {
  EXPECT_EQ(SampleNoise({}, {1, 2, 2}).sizes(), at::IntArrayRef({0, 1, 2, 2}));
}

}  // namespace
}  // namespace retort::sample
