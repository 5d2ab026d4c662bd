#include "core/analytic/linearized_denoiser.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "core/analytic/gaussian_source.h"
#include "core/analytic/mixture_source.h"
#include "core/math/heun.h"
#include "core/nn/denoiser.h"

namespace retort::analytic {
namespace {

TeacherSource SomeMixture() {
  torch::manual_seed(2);
  return MakeMixtureSource({at::randn({3, 4}, at::kDouble),
                            at::tensor({0.01, 0.2, 0.05}, at::kDouble),
                            at::tensor({0.5, 0.2, 0.3}, at::kDouble)});
}

TEST(LinearizedDenoiserTest, ProductsAreThoseOfADiagonalJacobian) {
  const at::Tensor v = at::tensor({1.0, 0.3, 0.01}, at::kDouble);
  const at::Tensor x = at::randn({2, 3}, at::kDouble);
  const at::Tensor t = at::tensor({0.5, 3.0}, at::kDouble);
  LinearizedDenoiser linear(MakeGaussianSource(v), x, t, {});
  const at::Tensor gain = v / (v + t.unsqueeze(1).square());
  EXPECT_TRUE(at::allclose(linear.value(), gain * x));
  const at::Tensor w = at::randn({2, 3}, at::kDouble);
  EXPECT_TRUE(at::allclose(linear.Transposed(w), gain * w));
  EXPECT_TRUE(
      at::allclose(linear.Product(w, at::zeros({2}, at::kDouble)), gain * w));
  // d gain/d lambda = 2 t^2 v/(v + t^2)^2.
  const at::Tensor ode = gain * (gain * x - x) + 2 * gain * (1 - gain) * x;
  EXPECT_TRUE(at::allclose(linear.AlongOde(), ode));
}

TEST(LinearizedDenoiserTest, TheTotalDerivativeIsThatAlongATrajectory) {
  const TeacherSource source = SomeMixture();
  const at::Tensor x = at::randn({5, 4}, at::kDouble);
  const at::Tensor t = at::full({5}, 0.4, at::kDouble);
  LinearizedDenoiser linear(source, x, t, {});
  const double e = 1e-4;
  const auto denoiser = [&](const at::Tensor& at_x, const at::Tensor& at_t) {
    return source.denoise(at_x, at_t, {});
  };
  const auto after = [&](double step) {
    const at::Tensor u = t * std::exp(-step);
    return denoiser(math::HeunStep(denoiser, x, t, u), u);
  };
  const at::Tensor slope = (after(e) - after(-e)) / (2 * e);
  EXPECT_TRUE(at::allclose(linear.AlongOde(), slope, 1e-5, 1e-6));
}

TEST(LinearizedDenoiserTest, GoesThroughANetwork) {
  nn::NetworkConfig config;
  config.img_resolution = 8;
  config.img_channels = 1;
  config.model_channels = 8;
  config.channel_mult = {1, 2};
  config.num_blocks = 1;
  config.attn_resolutions = {4};
  auto net = nn::CreateDenoiser(config, /*init_seed=*/3);
  net->to(at::kDouble);
  net->eval();
  for (at::Tensor& p : net->parameters()) p.requires_grad_(false);
  TeacherSource source;
  source.shape = {1, 8, 8};
  source.denoise = [&](const at::Tensor& x, const at::Tensor& t,
                       const at::Tensor&) { return net->Denoise(x, t); };
  const at::Tensor x = at::randn({2, 1, 8, 8}, at::kDouble);
  const at::Tensor v = at::randn({2, 1, 8, 8}, at::kDouble);
  const at::Tensor t = at::tensor({0.3, 1.5}, at::kDouble);
  const at::Tensor dt = at::tensor({0.2, -0.7}, at::kDouble);
  LinearizedDenoiser linear(source, x, t, {});
  torch::NoGradGuard no_grad;
  const double e = 1e-5;
  // The network sees ln(t)/4 through float32 frequencies, so not exactly.
  const at::Tensor slope = (net->Denoise(x + e * v, t + e * dt) -
                            net->Denoise(x - e * v, t - e * dt)) /
                           (2 * e);
  EXPECT_TRUE(at::allclose(linear.Product(v, dt), slope, 1e-4, 1e-5));
  EXPECT_NEAR((linear.Transposed(v) * x).sum().item<double>(),
              (linear.Product(x, 0 * dt) * v).sum().item<double>(), 1e-9);
}

}  // namespace
}  // namespace retort::analytic
