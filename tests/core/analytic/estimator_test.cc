#include "core/analytic/estimator.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "core/analytic/analytic_table.h"
#include "core/analytic/gaussian_source.h"
#include "core/data/tensor_dataset.h"
#include "tests/core/analytic/estimate.h"
#include "tests/support/status_matchers.h"

namespace retort::analytic {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

const at::Tensor& Variances() {
  static const at::Tensor v =
      at::logspace(0.05, -3.5, 32, 10.0, at::TensorOptions(at::kDouble));
  return v;
}

EstimateOptions SmallOptions() {
  EstimateOptions options;
  options.knots = 40;
  options.samples = 1024;
  return options;
}

TEST(EstimatorTest, SteinAgreesWithTheClosedFormWithinItsErrors) {
  const auto found = Estimate(MakeGaussianSource(Variances()), SmallOptions());
  double l_chi2 = 0, s_chi2 = 0;
  for (const KnotStatistics& knot : found.knots) {
    const auto exact = ExactGaussianStatistics(Variances(), knot.t);
    const double zl = (knot.l - exact.l) / knot.l_se;
    EXPECT_LT(std::abs(zl), 5) << knot.t;
    EXPECT_LT(std::abs(knot.l_from_loss - exact.l), 5 * knot.l_from_loss_se);
    ASSERT_TRUE(knot.Resolved(found.relative_rounding)) << knot.t;
    const double ln_s = -0.5 * std::log(exact.g_square / Variances().numel());
    const double zs = (knot.LnS() - ln_s) / knot.LnSStandardError();
    EXPECT_LT(std::abs(zs), 5) << knot.t;
    l_chi2 += zl * zl / found.knots.size();
    s_chi2 += zs * zs / found.knots.size();
  }
  // The reported errors are neither too small nor too large: 40 terms of
  // chi-square over 40 have a standard deviation of 0.22.
  EXPECT_GT(l_chi2, 0.4);
  EXPECT_LT(l_chi2, 1.8);
  EXPECT_GT(s_chi2, 0.4);
  EXPECT_LT(s_chi2, 1.8);
}

TEST(EstimatorTest, HutchinsonAgreesWithStein) {
  EstimateOptions options = SmallOptions();
  const TeacherSource source = MakeGaussianSource(Variances());
  const auto stein = Estimate(source, options);
  options.trace = TraceEstimator::kHutchinson;
  const auto hutchinson = Estimate(source, options);
  for (size_t k = 0; k < stein.knots.size(); ++k) {
    // A diagonal Jacobian: random signs give its trace without any noise.
    EXPECT_LT(hutchinson.knots[k].l_se, 1e-10);
    EXPECT_LT(std::abs(stein.knots[k].l - hutchinson.knots[k].l),
              5 * stein.knots[k].l_se);
  }
}

TEST(EstimatorTest, DoesNotDependOnTheBatchSize) {
  EstimateOptions options;
  options.knots = 3;
  options.samples = 100;
  const TeacherSource source = MakeGaussianSource(Variances());
  const auto whole = Estimate(source, options);
  options.batch = 7;
  const auto pieces = Estimate(source, options);
  for (size_t k = 0; k < 3; ++k) {
    EXPECT_DOUBLE_EQ(whole.knots[k].l, pieces.knots[k].l);
    EXPECT_DOUBLE_EQ(whole.knots[k].g_mean_square,
                     pieces.knots[k].g_mean_square);
  }
}

TEST(EstimatorTest, StopsEarlyOnceTheErrorsAreSmallEnough) {
  EstimateOptions options = SmallOptions();
  options.samples = 8192;
  options.tolerance = 0.05;
  const TeacherSource source = MakeGaussianSource(Variances());
  const auto found = Estimate(source, options);
  EXPECT_LT(found.network_calls, options.knots * options.samples / 2);
  int64_t samples = 0;
  for (const KnotStatistics& knot : found.knots) {
    EXPECT_EQ(knot.samples % 256, 0);
    samples += knot.samples;
    if (knot.samples == options.samples) continue;
    EXPECT_LE(knot.l_se, 0.05);
    EXPECT_LE(knot.LnSStandardError(), 0.05);
  }
  EXPECT_EQ(samples, found.network_calls);
}

TEST(EstimatorTest, IsotropicDataLeaveSConstant) {
  const auto found = Estimate(
      MakeGaussianSource(at::full({32}, 0.25, at::kDouble)), SmallOptions());
  const auto table = AnalyticTable::FromStatistics(found);
  ASSERT_THAT(table, IsOk());
  EXPECT_THAT((*table)->ln_s(), ::testing::Each(0.0));
  const double exact = std::sqrt((0.25 + 0.16) / (0.25 + 25));
  const JumpCoefficients jump = (*table)->Forward(5, 0.4);
  EXPECT_NEAR(jump.a + jump.b * 0.25 / (0.25 + 25), exact, 0.01 * exact);
}

TEST(EstimatorTest, ReportsProgressAndStopsWhenAsked) {
  std::vector<double> fractions;
  const auto progress = [&](const EstimateProgress& report) {
    fractions.push_back(report.fraction);
  };
  const auto stop = [&] { return fractions.size() > 5; };
  EXPECT_THAT(
      EstimateStatistics(MakeGaussianSource(Variances()), math::NoiseSchedule(),
                         SmallOptions(), progress, stop)
          .status(),
      StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(std::is_sorted(fractions.begin(), fractions.end()));
  EXPECT_GT(fractions.back(), 0);
}

TEST(EstimatorTest, SaysThatATeacherHasDiverged) {
  TeacherSource source = MakeGaussianSource(Variances());
  source.denoise = [](const at::Tensor& x, const at::Tensor&,
                      const at::Tensor&) {
    return x * std::numeric_limits<double>::quiet_NaN();
  };
  EXPECT_THAT(
      EstimateStatistics(source, math::NoiseSchedule(), SmallOptions())
          .status(),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not finite")));
}

TEST(EstimateOptionsTest, RefusesNonsense) {
  EstimateOptions options;
  options.samples = 1;
  EXPECT_THAT(options.Validate(), StatusIs(absl::StatusCode::kInvalidArgument));
  options = EstimateOptions();
  options.tolerance = -1;
  EXPECT_THAT(options.Validate(), StatusIs(absl::StatusCode::kInvalidArgument));
}

// A network and labelled images through the same door.
class NetworkSourceTest : public ::testing::Test {
 protected:
  NetworkSourceTest() {
    nn::NetworkConfig config;
    config.img_resolution = 8;
    config.img_channels = 1;
    config.label_dim = 3;
    config.model_channels = 16;
    config.channel_mult = {1};
    config.num_blocks = 1;
    config.attn_resolutions = {};
    network_ = nn::CreateDenoiser(config, 1);
    const at::Tensor images =
        at::arange(5 * 64).remainder(256).to(at::kByte).view({5, 1, 8, 8});
    dataset_ = data::TensorDataset::Create(
                   "made-up", images,
                   at::tensor(std::vector<int64_t>{0, 1, 2, 0, 1}), 3)
                   .value();
  }

  std::shared_ptr<nn::EdmDenoiser> network_;
  std::unique_ptr<data::Dataset> dataset_;
};

TEST_F(NetworkSourceTest, GivesAConditionalTeacherTheDataSetsLabels) {
  network_->eval();
  auto source = MakeTeacherSource(network_, *dataset_, "hash");
  ASSERT_THAT(source, IsOk());
  auto batch = source->clean(7, {0, 1, 2, 3, 4});
  ASSERT_THAT(batch, IsOk());
  EXPECT_EQ(batch->labels.sizes(), at::IntArrayRef({5, 3}));
  EXPECT_EQ(batch->labels.sum(0).to(at::kLong).min().item<int64_t>(), 1);
  EstimateOptions options;
  options.knots = 3;
  options.samples = 16;
  EXPECT_THAT(EstimateStatistics(*source, math::NoiseSchedule(), options),
              IsOk());
}

TEST_F(NetworkSourceTest, HutchinsonGoesThroughANetwork) {
  network_->eval();
  network_->to(at::kDouble);
  auto source = MakeTeacherSource(network_, *dataset_, "hash");
  ASSERT_THAT(source, IsOk());
  EstimateOptions options;
  options.knots = 4;
  options.samples = 256;
  const auto stein = Estimate(*source, options);
  options.trace = TraceEstimator::kHutchinson;
  const auto hutchinson = Estimate(*source, options);
  for (size_t k = 0; k < 4; ++k) {
    const double error =
        std::hypot(stein.knots[k].l_se, hutchinson.knots[k].l_se);
    EXPECT_LT(std::abs(stein.knots[k].l - hutchinson.knots[k].l), 5 * error);
  }
}

TEST_F(NetworkSourceTest, RefusesTrainingModeAndForeignData) {
  EXPECT_THAT(
      MakeTeacherSource(network_, *dataset_, "").status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("training mode")));
  network_->eval();
  const auto other = data::TensorDataset::Create(
      "large", at::zeros({1, 1, 16, 16}, at::kByte), {}, 0);
  EXPECT_THAT(
      MakeTeacherSource(network_, **other, "").status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1x16x16")));
}

}  // namespace
}  // namespace retort::analytic
