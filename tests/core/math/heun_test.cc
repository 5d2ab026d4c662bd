#include "core/math/heun.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>
#include <vector>

#include "core/math/edm_precond.h"

namespace retort::math {
namespace {

// Gaussian data of variance v: D = v / (v + t^2) x, and a trajectory is
// x_t ~ sqrt(v + t^2), so that everything is known.
constexpr double kVariance = 0.3;

Denoiser GaussianTeacher(int* calls = nullptr) {
  return [calls](const at::Tensor& x, const at::Tensor& sigma) {
    if (calls != nullptr) ++*calls;
    return x * ExpandLike(kVariance / (kVariance + sigma.square()), x);
  };
}

at::Tensor One(double v) { return at::full({1}, v, at::kDouble); }

double Exact(double x, double t, double u) {
  return x * std::sqrt((kVariance + u * u) / (kVariance + t * t));
}

double ErrorWithSteps(int64_t n) {
  at::Tensor x = at::full({1, 1}, 2.0, at::kDouble);
  for (int64_t i = 0; i < n; ++i) {
    x = HeunStep(GaussianTeacher(), x, One(2 - 1.5 * i / n),
                 One(2 - 1.5 * (i + 1) / n));
  }
  return std::abs(x.item<double>() - Exact(2, 2, 0.5));
}

TEST(HeunTest, ConvergesWithSecondOrder) {
  const double order = std::log2(ErrorWithSteps(32) / ErrorWithSteps(64));
  EXPECT_NEAR(order, 2, 0.1);
}

TEST(HeunTest, RowsTakeStepsOfTheirOwn) {
  const at::Tensor x = torch::tensor({{1.0, 2.0}, {3.0, 4.0}}, at::kDouble);
  const at::Tensor t = torch::tensor({2.0, 0.7}, at::kDouble);
  const at::Tensor u = torch::tensor({1.5, 0.0}, at::kDouble);
  const at::Tensor both = HeunStep(GaussianTeacher(), x, t, u);
  for (int64_t i = 0; i < 2; ++i) {
    const at::Tensor alone =
        HeunStep(GaussianTeacher(), x.slice(0, i, i + 1), t.slice(0, i, i + 1),
                 u.slice(0, i, i + 1));
    EXPECT_TRUE(at::equal(both[i], alone[0]));
  }
}

TEST(HeunTest, AStepToZeroIsTheDenoiserItself) {
  const at::Tensor x = at::full({1, 3}, 0.9, at::kDouble);
  const at::Tensor end = HeunStep(GaussianTeacher(), x, One(0.1), One(0));
  EXPECT_TRUE(at::allclose(end, GaussianTeacher()(x, One(0.1)), 1e-12, 1e-12));
}

TEST(HeunTest, SamplerReachesTheEndOfTheTrajectory) {
  int calls = 0;
  HeunOptions options;
  options.num_steps = 256;
  const at::Tensor z = torch::tensor({{0.3, -1.2, 2.0}}, at::kDouble);
  const at::Tensor x = HeunSample(GaussianTeacher(&calls), z, options);
  const at::Tensor exact = z * 80 * std::sqrt(kVariance / (kVariance + 6400));
  EXPECT_TRUE(at::allclose(x, exact, 1e-3, 0));
  EXPECT_EQ(calls, 2 * 256 - 1);
}

TEST(HeunTest, ChurnKeepsTheDistribution) {
  HeunOptions options;
  options.num_steps = 128;
  options.s_churn = 20;
  torch::manual_seed(0);
  options.noise = [](int64_t, const at::Tensor& x) {
    return at::randn_like(x);
  };
  const at::Tensor z = at::randn({20000, 1}, at::kDouble);
  const at::Tensor x = HeunSample(GaussianTeacher(), z, options);
  EXPECT_NEAR(x.var().item<double>(), kVariance, 0.015);
}

TEST(HeunTest, OptionsNameWhatIsWrong) {
  HeunOptions options;
  options.s_churn = 1;
  EXPECT_EQ(options.Validate().code(), absl::StatusCode::kInvalidArgument);
  options = HeunOptions();
  options.num_steps = 0;
  EXPECT_NE(options.Validate().message().find("num_steps is 0"),
            absl::string_view::npos);
}

}  // namespace
}  // namespace retort::math
