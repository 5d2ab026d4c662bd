#include "core/nn/layers.h"

#include <gtest/gtest.h>

#include "core/nn/unet_plan.h"

namespace retort::nn {
namespace {

constexpr LayerInit kInit = {InitMode::kKaimingNormal, 1, 1};

Conv2d MakeConv(const Conv2dOptions& options) {
  WeightInit draw(5);
  return Conv2d(options, kInit, draw);
}

at::Tensor Parameter(const Conv2d& conv, const char* name) {
  return conv.named_parameters()[name].detach();
}

TEST(LayersTest, HalvingIsAConvolutionWithTheFilter) {
  torch::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2, 3, 8, 8});
  for (const std::vector<double>& f :
       {std::vector<double>{1, 1}, std::vector<double>{1, 3, 3, 1}}) {
    Conv2dOptions options{3, 3, 0};
    options.down = true;
    options.resample_filter = f;
    const Conv2d conv = MakeConv(options);
    const at::Tensor filter = conv.named_buffers()["resample_filter"];
    EXPECT_NEAR(filter.sum().item<double>(), 1, 1e-6);
    const int64_t pad = (static_cast<int64_t>(f.size()) - 1) / 2;
    const at::Tensor expected =
        at::conv2d(x, filter.repeat({3, 1, 1, 1}), at::Tensor(), 2, pad, 1, 3);
    EXPECT_TRUE(at::allclose(conv.Forward(x), expected, 1e-5, 1e-6));
  }
}

TEST(LayersTest, DoublingIsATransposedConvolutionWithFourTimesTheFilter) {
  torch::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2, 3, 4, 4});
  for (int64_t kernel : {0, 1, 3}) {
    Conv2dOptions options{3, kernel == 0 ? 3 : 5, kernel};
    options.up = true;
    const Conv2d conv = MakeConv(options);
    at::Tensor expected = at::conv_transpose2d(
        x, (conv.named_buffers()["resample_filter"] * 4).repeat({3, 1, 1, 1}),
        at::Tensor(), 2, 0, 0, 3);
    if (kernel > 0) {
      expected = at::conv2d(expected, Parameter(conv, "weight"),
                            Parameter(conv, "bias"), 1, kernel / 2);
    }
    EXPECT_TRUE(at::allclose(conv.Forward(x), expected, 1e-5, 1e-5));
  }
}

TEST(LayersTest, FusedHalvingConvolvesFirst) {
  torch::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2, 3, 8, 8});
  Conv2dOptions options{3, 4, 3};
  options.down = true;
  options.fused_resample = true;
  options.resample_filter = {1, 3, 3, 1};
  const Conv2d conv = MakeConv(options);
  const at::Tensor filter =
      conv.named_buffers()["resample_filter"].repeat({4, 1, 1, 1});
  at::Tensor expected =
      at::conv2d(x, Parameter(conv, "weight"), at::Tensor(), 1, 2);
  expected = at::conv2d(expected, filter, at::Tensor(), at::IntArrayRef{2},
                        at::IntArrayRef{0}, at::IntArrayRef{1}, 4) +
             Parameter(conv, "bias").reshape({1, -1, 1, 1});
  EXPECT_TRUE(at::allclose(conv.Forward(x), expected, 1e-5, 1e-5));
}

TEST(LayersTest, NormalisationGroupsHaveAtLeastFourChannels) {
  EXPECT_EQ(NormGroups(8), 2);
  EXPECT_EQ(NormGroups(64), 16);
  EXPECT_EQ(NormGroups(512), 32);
}

TEST(LayersTest, SiluLeavesItsArgumentAloneWhenGradientsAreWanted) {
  const at::Tensor x = at::randn({10});
  const at::Tensor copy = x.clone();
  EXPECT_TRUE(at::allclose(Silu(x), copy * copy.sigmoid()));
  EXPECT_TRUE(at::equal(x, copy));
  torch::NoGradGuard no_grad;
  EXPECT_TRUE(at::allclose(Silu(x), copy * copy.sigmoid()));
}

TEST(LayersTest, ParametersFollowTheDtypeOfTheInput) {
  torch::NoGradGuard no_grad;
  const Conv2d conv = MakeConv({3, 4, 3});
  const at::Tensor x = at::randn({1, 3, 4, 4});
  const at::Tensor half = conv.Forward(x.to(at::kBFloat16));
  EXPECT_EQ(half.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::allclose(half.to(at::kFloat), conv.Forward(x), 0.05, 0.05));
}

}  // namespace
}  // namespace retort::nn
