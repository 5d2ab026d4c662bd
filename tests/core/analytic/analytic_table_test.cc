#include "core/analytic/analytic_table.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "core/analytic/estimator.h"
#include "core/analytic/gaussian_source.h"
#include "core/analytic/tabulated_jump.h"
#include "tests/support/status_matchers.h"

namespace retort::analytic {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

using Table = std::shared_ptr<const AnalyticTable>;

const std::vector<std::pair<double, double>> kJumps = {
    {80, 0.002}, {80, 79.9},     {2.27, 0.383}, {0.383, 0.064},
    {1, 0.97},   {0.011, 0.002}, {5.5, 0.4},    {0.00205, 0.002}};

// The table of data N(0, diag(v)) from exact statistics at the knots.
Table GaussianTable(const at::Tensor& v, int64_t knots = 120) {
  std::vector<double> lambda, l, g;
  std::vector<bool> resolved;
  for (double t : KnotTimes(math::NoiseSchedule(), knots)) {
    const GaussianStatistics exact = ExactGaussianStatistics(v, t);
    lambda.push_back(-std::log(t));
    l.push_back(exact.l);
    g.push_back(exact.g_square / v.numel());
    resolved.push_back(exact.g_square > 1e-25);
  }
  return AnalyticTable::FromMeanSquares(lambda, l, g, resolved).value();
}

Table ConstantTable(double l, double s_slope) {
  std::vector<double> lambda, ls, ln_s;
  for (double t : KnotTimes(math::NoiseSchedule(), 120)) {
    lambda.push_back(-std::log(t));
    ls.push_back(l);
    ln_s.push_back(s_slope * lambda.back());
  }
  return AnalyticTable::Create(lambda, ls, ln_s).value();
}

TEST(AnalyticTableTest, IsExactlyCtmWhereLAndSAreZero) {
  const Table table = ConstantTable(0, 0);
  for (const auto& [t, s] : kJumps) {
    for (const auto& jump : {table->Backward(t, s), table->Forward(t, s)}) {
      EXPECT_NEAR(jump.a, s / t, 1e-13) << t << " " << s;
      EXPECT_NEAR(jump.b, 1 - s / t, 1e-13) << t << " " << s;
    }
  }
}

// Constant l and s: L = e^((1-l) lambda), S = e^(s lambda), E in closed form.
TEST(AnalyticTableTest, MatchesTheClosedFormForConstantLAndS) {
  const double l = 0.4, slope = -0.7, k = 1 - l - slope;
  const Table table = ConstantTable(l, slope);
  for (const auto& [t, s] : kJumps) {
    const double dl = std::log(t / s);
    const double q = -std::expm1(-k * dl) / k;  // dE S_s / L_s
    const double a = std::exp(-(1 - l) * dl) / (1 + q * l);
    const JumpCoefficients backward = table->Backward(t, s);
    EXPECT_NEAR(backward.a, a, 1e-12 * a);
    EXPECT_NEAR(backward.b / (q / (1 + q * l)), 1, 1e-11);
    const double b = q * std::exp(-slope * dl);
    const JumpCoefficients forward = table->Forward(t, s);
    EXPECT_NEAR(forward.b / b, 1, 1e-11);
    EXPECT_NEAR(forward.a, std::exp(-(1 - l) * dl) - b * l, 1e-12 * (1 + b));
  }
}

TEST(AnalyticTableTest, IsTheIdentityAtEqualTimes) {
  const Table table = GaussianTable(at::linspace(0.01, 1, 20, at::kDouble));
  for (double t : {80.0, 0.002, 0.3, 12.345}) {
    for (const auto& jump : {table->Backward(t, t), table->Forward(t, t)}) {
      EXPECT_EQ(jump.a, 1.0);
      EXPECT_EQ(jump.b, 0.0);
    }
  }
}

// v = c I: g = 0, S = 0/0. With D = l x the forward jump must be the exact
// x sqrt((v + s^2)/(v + t^2)); the backward jump must be satisfied by the
// ideal student, whose D is l_s x_s.
TEST(AnalyticTableTest, IsExactForTheIsotropicGaussian) {
  const double v = 0.25;
  const Table table = GaussianTable(at::full({10}, v, at::kDouble), 480);
  for (const auto& [t, s] : kJumps) {
    const double exact = std::sqrt((v + s * s) / (v + t * t));
    const double l_t = v / (v + t * t), l_s = v / (v + s * s);
    const JumpCoefficients forward = table->Forward(t, s);
    EXPECT_NEAR((forward.a + forward.b * l_t) / exact, 1, 1e-4);
    const JumpCoefficients backward = table->Backward(t, s);
    EXPECT_NEAR((backward.a + backward.b * l_s * exact) / exact, 1, 1e-4);
  }
}

// Two variances: everything by brute-force quadrature.
TEST(AnalyticTableTest, MatchesFineQuadratureForAnAnisotropicGaussian) {
  const at::Tensor v = at::tensor({1.0, 0.3, 0.05, 0.001}, at::kDouble);
  const Table table = GaussianTable(v);
  for (const auto& [t, s] : kJumps) {
    const int n = 2000;
    const double h = std::log(t / s) / n;
    double int_one_minus_l = 0, q_back = 0;
    const double g_s = ExactGaussianStatistics(v, s).g_square;
    // Backwards from s, so that L/L_s accumulates along the way.
    for (int k = 0; k < n; ++k) {
      const auto at_k = ExactGaussianStatistics(v, s * std::exp((k + 0.5) * h));
      int_one_minus_l += (1 - at_k.l) * h / 2;
      q_back += h * std::exp(-int_one_minus_l) * std::sqrt(at_k.g_square / g_s);
      int_one_minus_l += (1 - at_k.l) * h / 2;
    }
    const double l_s = ExactGaussianStatistics(v, s).l;
    const JumpCoefficients jump = table->Backward(t, s);
    EXPECT_NEAR(jump.b / (q_back / (1 + q_back * l_s)), 1, 1e-3);
    EXPECT_NEAR(jump.a / (std::exp(-int_one_minus_l) / (1 + q_back * l_s)), 1,
                1e-3);
  }
}

TEST(AnalyticTableTest, FillsUnresolvedKnotsFromTheirNeighbours) {
  const std::vector<double> lambda = {0, 1, 2, 3, 4}, l(5, 0.5);
  const double e2 = std::exp(-2.0);
  const auto table = AnalyticTable::FromMeanSquares(
      lambda, l, {1, 0, e2 * e2, 1, -1}, {true, false, true, true, false});
  ASSERT_TRUE(table.ok());
  EXPECT_THAT((*table)->ln_s(), ::testing::ElementsAre(0, 1, 2, 0, 0));
}

TEST(AnalyticTableTest, RefusesASingularJump) {
  EXPECT_THAT(
      AnalyticTable::Create({0, 5}, {-1.2, -1.2}, {0, 10}).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("singular")));
}

TEST(AnalyticJumpTest, EvaluatesEachSampleInFloat64) {
  const AnalyticJump jump(ConstantTable(0, 0));
  at::Tensor a, b;
  const at::Tensor t = at::tensor({80.0, 1.0, 200.0}, at::kDouble);
  const at::Tensor s = at::tensor({0.002, 0.25, 200.0}, at::kDouble);
  jump.Coefficients(t, s, &a, &b);
  EXPECT_EQ(a.scalar_type(), at::kDouble);
  EXPECT_TRUE(at::allclose(a, at::tensor({0.002 / 80, 0.25, 1.0}, at::kDouble),
                           1e-12, 1e-15));
  EXPECT_EQ(b[2].item<double>(), 0.0);  // t = s is free to lie outside
}

TEST(AnalyticJumpTest, ToleratesRoundingAndRefusesTimesOutsideTheTable) {
  const AnalyticJump jump(ConstantTable(0, 0));
  EXPECT_NEAR(jump.At(80.00000001, 0.00199999999).b, 1 - 0.002 / 80, 1e-9);
  EXPECT_THROW(jump.At(81, 1), c10::Error);
  EXPECT_THROW(jump.At(1, 0.001), c10::Error);
  EXPECT_THROW(jump.At(1, 2), c10::Error);
}

}  // namespace
}  // namespace retort::analytic
