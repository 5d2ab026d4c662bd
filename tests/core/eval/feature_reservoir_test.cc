#include "core/eval/feature_reservoir.h"

#include <limits>
#include <set>

#include "tests/support/status_matchers.h"

namespace retort::eval {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;

at::Tensor Count(int64_t first, int64_t last) {
  return at::arange(first, last, at::kFloat).view({-1, 1});
}

at::Tensor KeptOf(int64_t n, int64_t capacity, uint64_t seed, int64_t batch) {
  FeatureReservoir reservoir(1, capacity, seed);
  for (int64_t i = 0; i < n; i += batch) {
    RETORT_CHECK_OK(reservoir.Add(Count(i, std::min(n, i + batch))));
  }
  EXPECT_EQ(reservoir.count(), n);
  return reservoir.Kept();
}

TEST(FeatureReservoirTest, KeepsAllOfAShortStream) {
  EXPECT_TRUE(at::equal(KeptOf(2500, 3000, 1, 100), Count(0, 2500)));
}

TEST(FeatureReservoirTest, DependsOnTheSeedAndNotOnTheBatches) {
  const at::Tensor kept = KeptOf(1000, 50, 1, 1000);
  EXPECT_EQ(kept.size(0), 50);
  EXPECT_TRUE(at::equal(kept, KeptOf(1000, 50, 1, 7)));
  EXPECT_FALSE(at::equal(kept, KeptOf(1000, 50, 2, 7)));
  // Rows of the stream, in its order, none twice.
  EXPECT_TRUE((kept.slice(0, 1) > kept.slice(0, 0, -1)).all().item<bool>());
}

TEST(FeatureReservoirTest, KeepsEveryRowWithTheSameProbability) {
  // Of 20 rows 5 stay: each in a quarter of 4000 trials, +- 5 deviations of
  // sqrt(4000 3/16) = 27.
  at::Tensor hits = at::zeros({20});
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    const at::Tensor kept = KeptOf(20, 5, seed, 20).flatten().to(at::kLong);
    hits.index_add_(0, kept, at::ones({5}));
  }
  EXPECT_GT(hits.min().item<float>(), 1000 - 137);
  EXPECT_LT(hits.max().item<float>(), 1000 + 137);
}

TEST(FeatureReservoirTest, RefusesWhatIsNotFiniteOrOfAnotherLength) {
  FeatureReservoir reservoir(1, 5, 0);
  EXPECT_THAT(reservoir.Add(at::zeros({1, 2})),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(
      reservoir.Add(at::full({1, 1}, std::numeric_limits<double>::quiet_NaN())),
      StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(reservoir.count(), 0);
}

}  // namespace
}  // namespace retort::eval
