#include "core/eval/precision_recall.h"

#include <algorithm>

#include "core/math/counter_random.h"
#include "tests/support/status_matchers.h"

namespace retort::eval {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

at::Tensor Points(int64_t n, int64_t d, uint64_t seed) {
  std::vector<int64_t> rows(n);
  for (int64_t i = 0; i < n; ++i) rows[i] = i;
  return math::NormalPerSample({seed, 15, 1}, rows, {d});
}

at::Tensor Line(std::vector<double> x) {
  return at::tensor(x, at::kDouble).view({-1, 1});
}

// The share of `points` that `set` covers, by definition.
double DirectCoverage(const at::Tensor& points, const at::Tensor& set, int k) {
  int64_t covered = 0;
  for (int64_t i = 0; i < points.size(0); ++i) {
    bool in = false;
    for (int64_t j = 0; j < set.size(0) && !in; ++j) {
      std::vector<double> distances;
      for (int64_t l = 0; l < set.size(0); ++l) {
        if (l != j)
          distances.push_back((set[j] - set[l]).norm().item<double>());
      }
      std::nth_element(distances.begin(), distances.begin() + (k - 1),
                       distances.end());
      in = (points[i] - set[j]).norm().item<double>() <= distances[k - 1];
    }
    covered += in;
  }
  return static_cast<double>(covered) / points.size(0);
}

TEST(PrecisionRecallTest, IsWhatAHandComputes) {
  // One neighbour. Real balls: 0 +- 1, 1 +- 1, 10 +- 9. Generated: 0.5 +- 1.75,
  // 2.25 +- 1.75, 30 +- 27.75.
  PrecisionRecallOptions options;
  options.neighbours = 1;
  RETORT_ASSERT_OK_AND_ASSIGN(
      const PrecisionRecall both,
      ComputePrecisionRecall(Line({0, 1, 10}), Line({0.5, 2.25, 30}), options));
  EXPECT_DOUBLE_EQ(both.precision, 2.0 / 3);
  EXPECT_DOUBLE_EQ(both.recall, 1);
}

TEST(PrecisionRecallTest, IsTheDefinitionPairByPair) {
  const at::Tensor real = Points(40, 3, 1).to(at::kDouble);
  const at::Tensor generated = 1.4 * Points(30, 3, 2).to(at::kDouble) + 0.7;
  RETORT_ASSERT_OK_AND_ASSIGN(const PrecisionRecall both,
                              ComputePrecisionRecall(real, generated));
  EXPECT_DOUBLE_EQ(both.precision, DirectCoverage(generated, real, 3));
  EXPECT_DOUBLE_EQ(both.recall, DirectCoverage(real, generated, 3));
  EXPECT_GT(both.precision, 0);
  EXPECT_LT(both.precision, 1);
}

TEST(PrecisionRecallTest, IsAllForIdenticalSetsEvenOfRepeatedPoints) {
  const at::Tensor x = Points(50, 4, 3);
  EXPECT_EQ(ComputePrecisionRecall(x, x)->precision, 1);
  EXPECT_EQ(ComputePrecisionRecall(x, x)->recall, 1);
  // Ten of each: every radius is 0.
  const at::Tensor repeated = (1000 * x.slice(0, 0, 5)).repeat({10, 1});
  EXPECT_EQ(ComputePrecisionRecall(repeated, repeated)->precision, 1);
  EXPECT_EQ(ComputePrecisionRecall(repeated, repeated)->recall, 1);
}

TEST(PrecisionRecallTest, IsNothingForDisjointSets) {
  const at::Tensor x = Points(50, 4, 3);
  RETORT_ASSERT_OK_AND_ASSIGN(const PrecisionRecall both,
                              ComputePrecisionRecall(x, x + 1000));
  EXPECT_EQ(both.precision, 0);
  EXPECT_EQ(both.recall, 0);
}

TEST(PrecisionRecallTest, TellsALostModeFromBadImages) {
  // Real: two far clusters; generated: one of them alone.
  const at::Tensor real = at::cat({Points(100, 4, 1), Points(100, 4, 2) + 100});
  RETORT_ASSERT_OK_AND_ASSIGN(const PrecisionRecall both,
                              ComputePrecisionRecall(real, Points(100, 4, 5)));
  EXPECT_GT(both.precision, 0.8);
  EXPECT_LT(both.recall, 0.55);
  EXPECT_GT(both.recall, 0.4);
}

TEST(PrecisionRecallTest, BlocksDoNotChangeIt) {
  // 3000 columns: blocks of 1398 rows, the last one smaller.
  const at::Tensor real = Points(3000, 2, 1);
  RETORT_ASSERT_OK_AND_ASSIGN(
      const PrecisionRecall there,
      ComputePrecisionRecall(real, Points(2900, 2, 2) + 1));
  RETORT_ASSERT_OK_AND_ASSIGN(
      const PrecisionRecall back,
      ComputePrecisionRecall(Points(2900, 2, 2) + 1, real));
  EXPECT_EQ(there.precision, back.recall);
  EXPECT_EQ(there.recall, back.precision);
}

TEST(PrecisionRecallTest, NeedsMoreFeaturesThanNeighbours) {
  EXPECT_THAT(
      ComputePrecisionRecall(Points(3, 2, 1), Points(10, 2, 2)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at least 4")));
  EXPECT_THAT(ComputePrecisionRecall(Points(5, 2, 1), Points(5, 3, 2)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  PrecisionRecallOptions options;
  options.stop = [] { return true; };
  EXPECT_THAT(ComputePrecisionRecall(Points(5, 2, 1), Points(5, 2, 2), options),
              StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace retort::eval
