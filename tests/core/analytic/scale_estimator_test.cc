// ScaleEstimator::kJvp, and the estimators against each other, on teachers
// that are known.

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/analytic/analytic_table.h"
#include "core/analytic/estimator.h"
#include "core/analytic/gaussian_source.h"
#include "core/analytic/mixture_source.h"
#include "tests/core/analytic/estimate.h"
#include "tests/support/status_matchers.h"

namespace retort::analytic {
namespace {

using ::retort::testing::IsOk;

const at::Tensor& ScaleVariances() {
  static const at::Tensor v =
      at::logspace(0.05, -3.5, 16, 10.0, at::TensorOptions(at::kDouble));
  return v;
}

EstimateOptions JvpOptions() {
  EstimateOptions options;
  options.knots = 60;
  options.samples = 1024;
  options.scale = ScaleEstimator::kJvp;
  return options;
}

// A linear teacher D_i = k a_i x_i, ideal for k = 1. s in closed form: x_i has
// variance v_i + t^2, dx_i/dlambda = (k a_i - 1) x_i, da/dlambda = 2 a (1 - a).
double LinearScale(const at::Tensor& v, double k, double t) {
  const at::Tensor a = v / (v + t * t), a1 = 2 * a * (1 - a);
  const at::Tensor l = (k * a).mean(), l1 = (k * a1).mean();
  const at::Tensor g = k * a - l;
  const at::Tensor g1 = k * a1 - l1 + g * (k * a - 1);
  const at::Tensor x2 = v + t * t;
  return -((g * g1 * x2).sum() / (g * g * x2).sum()).item<double>();
}

TEST(ScaleEstimatorTest, AgreesWithTheClosedFormForIdealAndOtherTeachers) {
  for (double k : {1.0, 0.7}) {
    TeacherSource source = MakeGaussianSource(ScaleVariances());
    const auto ideal = source.denoise;
    source.denoise = [=](const at::Tensor& x, const at::Tensor& t,
                         const at::Tensor& labels) {
      return k * ideal(x, t, labels);
    };
    const auto found = Estimate(source, JvpOptions());
    double chi2 = 0;
    for (size_t i = 1; i + 1 < found.knots.size(); ++i) {
      const KnotStatistics& knot = found.knots[i];
      const double exact = LinearScale(ScaleVariances(), k, knot.t);
      const double z = (knot.s - exact) / knot.s_se;
      EXPECT_LT(std::abs(z), 5) << knot.t << " " << knot.s << " " << exact;
      chi2 += z * z / static_cast<double>(found.knots.size());
    }
    EXPECT_GT(chi2, 0.3);
    EXPECT_LT(chi2, 2);
  }
}

TEST(ScaleEstimatorTest, BothScalesGiveTheSameTableForAnIdealTeacher) {
  const TeacherSource source = MakeGaussianSource(ScaleVariances());
  EstimateOptions options = JvpOptions();
  options.samples = 4096;
  options.knots = 120;
  const TeacherStatistics statistics = Estimate(source, options);
  const auto jvp = AnalyticTable::FromStatistics(statistics).value();
  options.scale = ScaleEstimator::kRms;
  const auto rms =
      AnalyticTable::FromStatistics(Estimate(source, options)).value();
  for (double t : {40.0, 3.0, 0.5, 0.05, 0.01}) {
    // The error of an integral of s adds up from the largest time on.
    double variance = 0;
    for (size_t k = 1; k < statistics.knots.size(); ++k) {
      const KnotStatistics& knot = statistics.knots[k];
      const double step = knot.lambda() - statistics.knots[k - 1].lambda();
      if (knot.t > t) variance += step * step * knot.s_se * knot.s_se;
    }
    EXPECT_LT(std::sqrt(variance), 0.1) << t;
    EXPECT_NEAR(jvp->LnS(t), rms->LnS(t), 4 * std::sqrt(variance) + 0.02) << t;
    const JumpCoefficients one = jvp->Backward(80, t);
    const JumpCoefficients other = rms->Backward(80, t);
    EXPECT_NEAR(one.a, other.a, 0.02) << t;
    EXPECT_NEAR(one.b, other.b, 0.02) << t;
  }
}

// A mixture in one dimension, where everything is an integral over x.
struct Quadrature {
  double l, l_slope, s;
};
Quadrature MixtureByQuadrature(const TeacherSource& source,
                               const GaussianMixture& mixture, double t) {
  const auto moments = [&](double at) {
    const at::Tensor x =
        at::linspace(-4 - 9 * at, 4 + 9 * at, 40001, at::kDouble);
    const at::Tensor time = at::full({x.numel()}, at, at::kDouble);
    const at::Tensor d = source.denoise(x.unsqueeze(1), time, {}).select(1, 0);
    at::Tensor p = at::zeros_like(x);
    for (int64_t k = 0; k < mixture.weights.numel(); ++k) {
      const at::Tensor v = mixture.variances[k] + at * at;
      p += mixture.weights[k] / v.sqrt() *
           at::exp(-(x - mixture.means[k][0]).square() / (2 * v));
    }
    p /= p.sum();
    const at::Tensor slope =
        (d.slice(0, 2) - d.slice(0, 0, -2)) / (x[2] - x[0]);
    const double l = (slope * p.slice(0, 1, -1)).sum().item<double>();
    const double g2 = ((d - l * x).square() * p).sum().item<double>();
    return std::pair<double, double>{l, g2};
  };
  const double e = 1e-3;
  const auto before = moments(t * std::exp(e)),
             after = moments(t * std::exp(-e));
  // S = 1/RMS of g for an ideal teacher.
  return {moments(t).first, (after.first - before.first) / (2 * e),
          -0.5 * std::log(after.second / before.second) / (2 * e)};
}

TEST(ScaleEstimatorTest, AllEstimatorsAgreeOnAMixture) {
  const GaussianMixture mixture = {
      at::tensor({-0.6, 0.2, 0.8}, at::kDouble).unsqueeze(1),
      at::tensor({0.01, 0.04, 0.02}, at::kDouble),
      at::tensor({0.5, 0.3, 0.2}, at::kDouble)};
  const TeacherSource source = MakeMixtureSource(mixture);
  for (const auto trace :
       {TraceEstimator::kStein, TraceEstimator::kHutchinson}) {
    EstimateOptions options = JvpOptions();
    options.trace = trace;
    options.samples = 4096;
    const auto found = Estimate(source, options);
    for (size_t i = 2; i + 2 < found.knots.size(); i += 5) {
      const KnotStatistics& knot = found.knots[i];
      const auto exact = MixtureByQuadrature(source, mixture, knot.t);
      EXPECT_LT(std::abs(knot.l - exact.l), 5 * knot.l_se + 1e-6)
          << TraceName(trace) << " at " << knot.t;
      // 60 knots: the slope of l from a spline adds a little.
      EXPECT_LT(std::abs(knot.s - exact.s), 5 * knot.s_se + 0.02)
          << TraceName(trace) << " at " << knot.t;
    }
  }
}

TEST(ScaleEstimatorTest, CostsAreCountedInForwardPasses) {
  EstimateOptions options = JvpOptions();
  options.knots = 2;
  options.samples = 10;
  const TeacherSource source = MakeGaussianSource(ScaleVariances());
  EXPECT_EQ(Estimate(source, options).forward_equivalents, 2 * 10 * 6);
  options.trace = TraceEstimator::kHutchinson;
  EXPECT_EQ(Estimate(source, options).forward_equivalents, 2 * 10 * 8);
  options.scale = ScaleEstimator::kRms;
  EXPECT_EQ(Estimate(source, options).forward_equivalents, 2 * 10 * 3);
}

TEST(ScaleEstimatorTest, IsotropicDataLeaveSConstant) {
  EstimateOptions options = JvpOptions();
  options.samples = 256;
  const auto found =
      Estimate(MakeGaussianSource(at::full({8}, 0.25, at::kDouble)), options);
  const auto table = AnalyticTable::FromStatistics(found).value();
  EXPECT_THAT(table->ln_s(), ::testing::Each(0.0));
}

TEST(ScaleEstimatorTest, AToleranceEndsKnotsEarly) {
  EstimateOptions options = JvpOptions();
  options.samples = 4096;
  options.tolerance = 0.05;
  const auto found = Estimate(MakeGaussianSource(ScaleVariances()), options);
  EXPECT_LT(found.network_calls, options.knots * options.samples / 2);
  for (const KnotStatistics& knot : found.knots) {
    EXPECT_LE(knot.l_se, 0.05);
  }
}

}  // namespace
}  // namespace retort::analytic
