#include "core/eval/kernel_distance.h"

#include <cmath>

#include "core/math/counter_random.h"
#include "tests/support/status_matchers.h"

namespace retort::eval {
namespace {

using ::retort::testing::StatusIs;

at::Tensor Gaussians(int64_t n, int64_t d, uint64_t seed) {
  std::vector<int64_t> rows(n);
  for (int64_t i = 0; i < n; ++i) rows[i] = i;
  return math::NormalPerSample({seed, 15, 0}, rows, {d}).to(at::kDouble);
}

double Kernel(const at::Tensor& x, const at::Tensor& y) {
  return std::pow(x.dot(y).item<double>() / x.size(0) + 1, 3);
}

// The definition, pair by pair.
double DirectMmd(const at::Tensor& a, const at::Tensor& b) {
  const int64_t m = a.size(0);
  const int64_t n = b.size(0);
  double aa = 0, bb = 0, ab = 0;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < m; ++j) aa += i == j ? 0 : Kernel(a[i], a[j]);
    for (int64_t j = 0; j < n; ++j) ab += Kernel(a[i], b[j]);
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) bb += i == j ? 0 : Kernel(b[i], b[j]);
  }
  return aa / (m * (m - 1)) + bb / (n * (n - 1)) - 2 * ab / (m * n);
}

TEST(KernelDistanceTest, IsTheDefinitionPairByPair) {
  const at::Tensor a = Gaussians(12, 5, 1);
  const at::Tensor b = Gaussians(9, 5, 2) + 0.5;
  EXPECT_NEAR(UnbiasedSquaredMmd(a, b), DirectMmd(a, b), 1e-12);
}

TEST(KernelDistanceTest, OfTwoPointsEachIsWhatAHandComputes) {
  // d = 1: k(x,y) = (xy + 1)^3. a = {0, 1}: k = 1. b = {2, -1}: k = (-1)^3.
  // Across: 1, 1, 27, 0; mean 29/4.
  const at::Tensor a = at::tensor({0.0, 1.0}, at::kDouble).view({2, 1});
  const at::Tensor b = at::tensor({2.0, -1.0}, at::kDouble).view({2, 1});
  EXPECT_DOUBLE_EQ(UnbiasedSquaredMmd(a, b), 1 - 1 - 2 * 29.0 / 4);
}

TEST(KernelDistanceTest, NearsTheClosedFormOfTwoGaussians) {
  // d = 1, x ~ N(0,1), y ~ N(m,1): E(xx'+1)^3 = 1 + 3; E(yy'+1)^3 = E^3 with
  // moments m, 1+m^2, m^3+3m; E(xy+1)^3 = 1 + 3(1+m^2).
  const double m = 1;
  const double m2 = 1 + m * m;
  const double m3 = m * m * m + 3 * m;
  const double expected =
      (1 + 3) + (1 + 3 * m * m + 3 * m2 * m2 + m3 * m3) - 2 * (1 + 3 * m2);
  const at::Tensor a = Gaussians(20000, 1, 3).to(at::kFloat);
  const at::Tensor b = (Gaussians(20000, 1, 4) + m).to(at::kFloat);
  KernelDistanceOptions options;
  options.subset_size = 500;
  options.subsets = 30;
  RETORT_ASSERT_OK_AND_ASSIGN(const KernelDistance distance,
                              ComputeKernelDistance(a, b, options));
  // The subsets hardly overlap: the mean's error is about a fifth of this.
  EXPECT_NEAR(distance.mean, expected, distance.deviation);
  EXPECT_GT(distance.deviation, 0);
  EXPECT_LT(distance.deviation, expected / 4);
}

TEST(KernelDistanceTest, IsAboutZeroForEqualDistributions) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const KernelDistance distance,
      ComputeKernelDistance(Gaussians(3000, 8, 5), Gaussians(3000, 8, 6)));
  EXPECT_EQ(distance.subset_size, 1000);
  EXPECT_EQ(distance.subsets, 100);
  EXPECT_NEAR(distance.mean, 0, 0.01);
}

TEST(KernelDistanceTest, UsesEverythingOnceWhenSetsAreSmall) {
  const at::Tensor a = Gaussians(30, 4, 1);
  const at::Tensor b = Gaussians(30, 4, 2);
  RETORT_ASSERT_OK_AND_ASSIGN(const KernelDistance distance,
                              ComputeKernelDistance(a, b));
  EXPECT_EQ(distance.subsets, 1);
  EXPECT_DOUBLE_EQ(distance.mean, UnbiasedSquaredMmd(a, b));
  EXPECT_EQ(distance.deviation, 0);
}

TEST(KernelDistanceTest, SubsetsAreAFunctionOfTheSeed) {
  const at::Tensor a = Gaussians(300, 4, 1);
  const at::Tensor b = Gaussians(300, 4, 2);
  KernelDistanceOptions options;
  options.subset_size = 50;
  options.subsets = 3;
  const double first = ComputeKernelDistance(a, b, options)->mean;
  EXPECT_EQ(first, ComputeKernelDistance(a, b, options)->mean);
  options.seed = 1;
  EXPECT_NE(first, ComputeKernelDistance(a, b, options)->mean);
}

TEST(KernelDistanceTest, RefusesSetsThatDoNotFitAndStops) {
  EXPECT_THAT(ComputeKernelDistance(at::zeros({1, 3}), at::zeros({5, 3})),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ComputeKernelDistance(at::zeros({5, 2}), at::zeros({5, 3})),
              StatusIs(absl::StatusCode::kInvalidArgument));
  KernelDistanceOptions options;
  options.stop = [] { return true; };
  EXPECT_THAT(
      ComputeKernelDistance(at::zeros({5, 3}), at::zeros({5, 3}), options),
      StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace retort::eval
