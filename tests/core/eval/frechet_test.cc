#include "core/eval/frechet.h"

#include <ATen/ATen.h>

#include <limits>

#include "core/math/counter_random.h"
#include "tests/support/status_matchers.h"

namespace retort::eval {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

at::Tensor Zeros(int64_t d) { return at::zeros({d}, at::kDouble); }

at::Tensor Diagonal(std::vector<double> values) {
  return at::diag(at::tensor(values, at::kDouble));
}

TEST(FrechetTest, IsTheClosedFormForCommutingCovariances) {
  // |m|^2 + sum (sqrt(a_i) - sqrt(b_i))^2.
  RETORT_ASSERT_OK_AND_ASSIGN(
      double distance, FrechetDistance(Zeros(3), Diagonal({1, 4, 9}),
                                       at::tensor({1.0, 2.0, 2.0}, at::kDouble),
                                       Diagonal({4, 4, 1})));
  EXPECT_NEAR(distance, 9 + 1 + 0 + 4, 1e-12);
}

TEST(FrechetTest, DoesNotChangeUnderRotation) {
  const int64_t index[] = {0};
  const at::Tensor m =
      math::NormalPerSample({3, 15, 0}, index, {5, 5})[0].to(at::kDouble);
  const auto [q, r] = at::linalg_qr(m);
  const at::Tensor a = Diagonal({1, 2, 3, 4, 5});
  const at::Tensor b = Diagonal({5, 1, 1, 2, 0.5});
  RETORT_ASSERT_OK_AND_ASSIGN(double plain,
                              FrechetDistance(Zeros(5), a, Zeros(5), b));
  RETORT_ASSERT_OK_AND_ASSIGN(
      double rotated, FrechetDistance(Zeros(5), q.mm(a).mm(q.t()), Zeros(5),
                                      q.mm(b).mm(q.t())));
  EXPECT_NEAR(plain, rotated, 1e-11);
}

TEST(FrechetTest, IsZeroBetweenEqualsAndSymmetric) {
  const at::Tensor a = Diagonal({1, 0.1});
  const at::Tensor b = Diagonal({2, 3});
  const at::Tensor m = at::ones({2}, at::kDouble);
  EXPECT_NEAR(*FrechetDistance(m, a, m, a), 0, 1e-14);
  EXPECT_NEAR(*FrechetDistance(m, a, Zeros(2), b),
              *FrechetDistance(Zeros(2), b, m, a), 1e-12);
}

TEST(FrechetTest, TakesCovariancesWithoutFullRank) {
  // A point mass against a Gaussian: the Gaussian's variances.
  EXPECT_NEAR(*FrechetDistance(Zeros(3), Diagonal({0, 0, 0}), Zeros(3),
                               Diagonal({1, 2, 3})),
              6, 1e-12);
  EXPECT_NEAR(*FrechetDistance(Zeros(3), Diagonal({1, 0, 0}), Zeros(3),
                               Diagonal({0, 1, 0})),
              2, 1e-12);
}

TEST(FrechetTest, RefusesWhatIsNoPairOfGaussians) {
  const at::Tensor a = Diagonal({1, 1});
  at::Tensor nan = a.clone();
  nan[0][0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(FrechetDistance(Zeros(2), a, Zeros(2), nan),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("NaN")));
  at::Tensor skew = a.clone();
  skew[0][1] = 0.5;
  EXPECT_THAT(
      FrechetDistance(Zeros(2), skew, Zeros(2), a),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("symmetric")));
  EXPECT_THAT(
      FrechetDistance(Zeros(2), Diagonal({1, -1}), Zeros(2), a),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("eigenvalue")));
  EXPECT_THAT(
      FrechetDistance(Zeros(2), a, Zeros(1), Diagonal({1})),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("length")));
  EXPECT_THAT(FrechetDistance(Zeros(3), a, Zeros(2), a),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(FrechetTest, ShrinksTowardsZeroForSamplesOfOneDistribution) {
  const int64_t few[] = {0, 1};
  const at::Tensor draws = math::NormalPerSample({7, 15, 0}, few, {20000, 3});
  FeatureStatistics a(3), b(3);
  ASSERT_TRUE(a.Add(draws[0]).ok());
  ASSERT_TRUE(b.Add(draws[1]).ok());
  RETORT_ASSERT_OK_AND_ASSIGN(double distance, FrechetDistance(a, b));
  EXPECT_GT(distance, 0);
  EXPECT_LT(distance, 2e-3);
}

}  // namespace
}  // namespace retort::eval
