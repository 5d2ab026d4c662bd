#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "core/nn/denoiser.h"
#include "tests/core/nn/small_networks.h"

// The U-Net in half formats; embeddings, softmax and the combination of the
// output in float32.
namespace retort::nn {
namespace {

NetworkConfig ConfigNamed(const std::string& name) {
  if (name == "adm") return SmallAdm();
  NetworkConfig c = SmallSong();
  if (name == "ncsnpp") {
    c.embedding_type = "fourier";
    c.channel_mult_noise = 2;
    c.encoder_type = "residual";
    c.resample_filter = {1, 3, 3, 1};
  }
  return c;
}

std::shared_ptr<EdmDenoiser> NetNamed(const std::string& name) {
  auto net = CreateDenoiser(ConfigNamed(name), 1);
  Perturb(*net);
  net->eval();
  return net;
}

double Rms(const at::Tensor& x) {
  return x.to(at::kDouble).square().mean().sqrt().item<double>();
}

// Unit roundoff: half the distance of 1 to the next number.
double Roundoff(at::ScalarType type) {
  return type == at::kBFloat16 ? 1.0 / 256 : 1.0 / 2048;
}

class HalfNetworkTest
    : public ::testing::TestWithParam<std::tuple<std::string, at::ScalarType>> {
 protected:
  std::string name() const { return std::get<0>(GetParam()); }
  at::ScalarType type() const { return std::get<1>(GetParam()); }
};

TEST_P(HalfNetworkTest, StaysWithinTenRoundingsOfFloat) {
  torch::NoGradGuard no_grad;
  const auto net = NetNamed(name());
  torch::manual_seed(5);
  const at::Tensor x = at::randn({4, 2, 8, 8});
  // Times at which an embedding in half would be far off: Fourier's phases go
  // up to hundreds.
  const at::Tensor c_noise = at::tensor({-1.55f, -0.3f, 0.4f, 1.09f});
  const at::Tensor exact = net->Raw(x, c_noise);
  net->set_compute_dtype(type());
  const at::Tensor half = net->Raw(x, c_noise);
  EXPECT_EQ(half.scalar_type(), at::kFloat);
  const double error = Rms(half - exact) / Rms(exact);
  EXPECT_GT(error, 0);
  EXPECT_LT(error, 10 * Roundoff(type()));
}

TEST_P(HalfNetworkTest, TellsTimesApartThatAreOneInHalf) {
  torch::NoGradGuard no_grad;
  const auto net = NetNamed(name());
  net->set_compute_dtype(type());
  torch::manual_seed(5);
  const at::Tensor x = at::randn({4, 2, 8, 8});
  const at::Tensor time = at::full({4}, 1.25);
  const at::Tensor later = time + 0.4 * Roundoff(type());
  ASSERT_TRUE(time.to(type()).equal(later.to(type())));
  EXPECT_FALSE(net->Raw(x, time).equal(net->Raw(x, later)));
}

TEST_P(HalfNetworkTest, TheOutputIsCombinedInFloat) {
  torch::NoGradGuard no_grad;
  const auto net = NetNamed(name());
  torch::manual_seed(5);
  const at::Tensor x = at::randn({4, 2, 8, 8});
  const at::Tensor sigma = at::full({4}, 0.002, at::kDouble);
  const at::Tensor exact = net->Denoise(x, sigma);
  net->set_compute_dtype(type());
  const at::Tensor half = net->Denoise(x, sigma);
  // D = c_skip x + c_out F with c_skip near 1 and c_out near sigma: rounding
  // D or c_skip x to a half format would cost Roundoff() itself.
  EXPECT_LT(Rms(half - exact), 0.05 * Roundoff(type()));
}

TEST_P(HalfNetworkTest, GradientsAreFloatAndClose) {
  const auto net = NetNamed(name());
  torch::manual_seed(5);
  const at::Tensor x = at::randn({4, 2, 8, 8});
  const at::Tensor sigma = at::full({4}, 0.5, at::kDouble);
  const auto gradient = [&] {
    net->zero_grad();
    net->Denoise(x, sigma).square().mean().backward();
    std::vector<at::Tensor> flat;
    for (const at::Tensor& p : net->parameters()) {
      EXPECT_EQ(p.grad().scalar_type(), at::kFloat);
      flat.push_back(p.grad().flatten());
    }
    return at::cat(flat);
  };
  const at::Tensor exact = gradient();
  net->set_compute_dtype(type());
  EXPECT_LT(Rms(gradient() - exact), 10 * Roundoff(type()) * Rms(exact));
}

INSTANTIATE_TEST_SUITE_P(
    Networks, HalfNetworkTest,
    ::testing::Combine(::testing::Values("ddpmpp", "ncsnpp", "adm"),
                       ::testing::Values(at::kBFloat16, at::kHalf)),
    [](const auto& info) {
      return std::get<0>(info.param) +
             (std::get<1>(info.param) == at::kHalf ? "Fp16" : "Bf16");
    });

TEST(HalfAttentionTest, LogitsBeyondHalfsRangeAreNoTrouble) {
  torch::NoGradGuard no_grad;
  const auto net = NetNamed("ddpmpp");
  for (auto& item : net->named_parameters()) {
    if (item.key().find("qkv.weight") != std::string::npos) {
      item.value().mul_(3000);  // logits up to about 10^6; half ends at 65504
    }
  }
  torch::manual_seed(5);
  const at::Tensor x = at::randn({2, 2, 8, 8});
  net->set_compute_dtype(at::kHalf);
  EXPECT_TRUE(net->Raw(x, at::zeros({2})).isfinite().all().item<bool>());
}

}  // namespace
}  // namespace retort::nn
