#include "core/eval/feature_statistics.h"

#include <ATen/ATen.h>

#include <limits>

#include "core/math/counter_random.h"
#include "tests/support/status_matchers.h"

namespace retort::eval {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

at::Tensor Rows(int64_t n, int64_t dim) {
  const int64_t index[] = {0};
  return math::NormalPerSample({1, 15, 0}, index, {n, dim})[0];
}

double MaxDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(FeatureStatisticsTest, MatchesTheTextbookFormulas) {
  const at::Tensor rows = Rows(50, 4).to(at::kDouble);
  FeatureStatistics statistics(4);
  ASSERT_THAT(statistics.Add(rows), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(at::Tensor mean, statistics.Mean());
  RETORT_ASSERT_OK_AND_ASSIGN(at::Tensor sigma, statistics.Covariance());
  EXPECT_LT(MaxDifference(mean, rows.mean(0)), 1e-14);
  EXPECT_LT(MaxDifference(sigma, at::cov(rows.t())), 1e-13);
}

TEST(FeatureStatisticsTest, BatchesAndMergedPartsGiveTheWhole) {
  const at::Tensor rows = Rows(60, 3) + 100;
  FeatureStatistics whole(3), first(3), second(3), empty(3);
  ASSERT_THAT(whole.Add(rows), IsOk());
  ASSERT_THAT(first.Add(rows.slice(0, 0, 7)), IsOk());
  ASSERT_THAT(first.Add(rows.slice(0, 7, 20)), IsOk());
  ASSERT_THAT(second.Add(rows.slice(0, 20)), IsOk());
  ASSERT_THAT(first.Merge(second), IsOk());
  ASSERT_THAT(first.Merge(empty), IsOk());
  EXPECT_EQ(first.count(), 60);
  EXPECT_LT(MaxDifference(*first.Covariance(), *whole.Covariance()), 1e-12);
  EXPECT_LT(MaxDifference(*first.Mean(), *whole.Mean()), 1e-12);
}

TEST(FeatureStatisticsTest, LosesNoDigitsToALargeMean) {
  const at::Tensor rows = Rows(100, 2).to(at::kDouble);
  FeatureStatistics near(2), far(2);
  ASSERT_THAT(near.Add(rows), IsOk());
  ASSERT_THAT(far.Add(rows.slice(0, 0, 50) + 1e8), IsOk());
  ASSERT_THAT(far.Add(rows.slice(0, 50) + 1e8), IsOk());
  // F'F - N mu mu' would be off by about 1e16 * 2^-52, that is by 2.
  EXPECT_LT(MaxDifference(*far.Covariance(), *near.Covariance()), 1e-6);
}

TEST(FeatureStatisticsTest, RefusesWhatIsNotFiniteAndKeepsWhatItHad) {
  FeatureStatistics statistics(2);
  ASSERT_THAT(statistics.Add(at::ones({3, 2})), IsOk());
  at::Tensor bad = at::ones({1, 2});
  bad[0][1] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(statistics.Add(bad), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr("not finite")));
  EXPECT_EQ(statistics.count(), 3);
}

TEST(FeatureStatisticsTest, RefusesOtherShapesAndDtypes) {
  FeatureStatistics statistics(2);
  EXPECT_FALSE(statistics.Add(at::ones({3, 3})).ok());
  EXPECT_FALSE(statistics.Add(at::ones({2})).ok());
  EXPECT_FALSE(statistics.Add(at::ones({3, 2}, at::kLong)).ok());
  EXPECT_FALSE(statistics.Add(at::Tensor()).ok());
  EXPECT_FALSE(statistics.Merge(FeatureStatistics(3)).ok());
}

TEST(FeatureStatisticsTest, NeedsTwoRowsForACovariance) {
  FeatureStatistics statistics(2);
  EXPECT_THAT(statistics.Mean(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_THAT(statistics.Add(at::ones({1, 2})), IsOk());
  EXPECT_THAT(statistics.Mean(), IsOk());
  EXPECT_THAT(statistics.Covariance(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(FeatureStatisticsTest, SurvivesATripThroughTensors) {
  FeatureStatistics statistics(3);
  ASSERT_THAT(statistics.Add(Rows(10, 3)), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(
      FeatureStatistics copy,
      FeatureStatistics::FromTensors(statistics.ToTensors()));
  EXPECT_EQ(copy.count(), 10);
  EXPECT_TRUE(at::equal(*copy.Covariance(), *statistics.Covariance()));
}

TEST(FeatureStatisticsTest, RefusesTensorsItCannotHaveWritten) {
  auto tensors = FeatureStatistics(3).ToTensors();
  tensors["scatter"] = at::zeros({2, 2}, at::kDouble);
  EXPECT_THAT(
      FeatureStatistics::FromTensors(tensors),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'scatter'")));
  tensors.erase("mean");
  EXPECT_THAT(FeatureStatistics::FromTensors(tensors),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("'mean' is missing")));
}

}  // namespace
}  // namespace retort::eval
