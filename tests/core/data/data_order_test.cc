#include "core/data/data_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace retort::data {
namespace {

using ::testing::ElementsAre;

std::vector<int64_t> Epoch(uint64_t seed, int64_t epoch, int64_t n) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < n; ++i) {
    order.push_back(ShuffledIndex(seed, epoch * n + i, n));
  }
  return order;
}

TEST(DataOrderTest, VisitsEveryIndexOncePerEpoch) {
  for (const int64_t n : {1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 60000}) {
    for (const int64_t epoch : {0, 1, 77}) {
      std::vector<bool> seen(n, false);
      for (const int64_t index : Epoch(5, epoch, n)) {
        ASSERT_GE(index, 0);
        ASSERT_LT(index, n);
        ASSERT_FALSE(seen[index]) << n << " " << index;
        seen[index] = true;
      }
    }
  }
}

// A resumed run must find the order of the run that it continues, also after
// an upgrade: these values never change.
TEST(DataOrderTest, KeepsItsOrderFromVersionToVersion) {
  EXPECT_THAT(Epoch(0, 0, 8), ElementsAre(3, 2, 1, 6, 5, 4, 7, 0));
  EXPECT_THAT(Epoch(1, 3, 5), ElementsAre(3, 4, 0, 1, 2));
  EXPECT_EQ(ShuffledIndex(7, 123456789, 60000), 24640);
}

TEST(DataOrderTest, DependsOnSeedAndEpoch) {
  EXPECT_NE(Epoch(1, 0, 1000), Epoch(2, 0, 1000));
  EXPECT_NE(Epoch(1, 0, 1000), Epoch(1, 1, 1000));
}

// Pearson's chi-squared of (position, index) in 16x16 cells: about 225 with a
// standard deviation of 21 for uniformly random permutations.
TEST(DataOrderTest, LooksRandom) {
  constexpr int64_t kSize = 60000;
  std::vector<double> cells(256, 0);
  const std::vector<int64_t> order = Epoch(11, 2, kSize);
  for (int64_t i = 0; i < kSize; ++i) {
    ++cells[16 * (i * 16 / kSize) + order[i] * 16 / kSize];
  }
  const double expected = kSize / 256.0;
  double chi_squared = 0;
  for (const double count : cells) {
    chi_squared += (count - expected) * (count - expected) / expected;
  }
  EXPECT_NEAR(chi_squared, 225, 100);
}

TEST(DataOrderTest, LeavesNeighboursUncorrelated) {
  constexpr int64_t kSize = 10000;
  const std::vector<int64_t> order = Epoch(3, 0, kSize);
  const double mean = (kSize - 1) / 2.0;
  double covariance = 0;
  double variance = 0;
  for (int64_t i = 0; i + 1 < kSize; ++i) {
    covariance += (order[i] - mean) * (order[i + 1] - mean);
    variance += (order[i] - mean) * (order[i] - mean);
  }
  EXPECT_LT(std::abs(covariance / variance), 5 / std::sqrt(kSize));
}

TEST(DataOrderTest, HandlesLargeSetsAndPositions) {
  const int64_t n = int64_t{1} << 40;
  const int64_t index = ShuffledIndex(1, 9 * n + 12345, n);
  EXPECT_GE(index, 0);
  EXPECT_LT(index, n);
  EXPECT_EQ(ShuffledIndex(1, INT64_MAX, 1), 0);
}

}  // namespace
}  // namespace retort::data
