#include "core/nn/unet.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/nn/unet_plan.h"
#include "tests/core/nn/small_networks.h"

namespace retort::nn {
namespace {

std::vector<std::string> Names(const std::vector<LayerPlan>& layers) {
  std::vector<std::string> names;
  for (const LayerPlan& layer : layers) names.push_back(layer.name);
  return names;
}

TEST(UNetTest, PlanNamesTheLayersInOrder) {
  NetworkConfig c = SmallSong();
  c.encoder_type = "skip";
  c.decoder_type = "skip";
  const UNetPlan plan = PlanUNet(c);
  EXPECT_EQ(
      Names(plan.encoder),
      (std::vector<std::string>{"8x8_conv", "8x8_block0", "4x4_down",
                                "4x4_aux_down", "4x4_aux_skip", "4x4_block0"}));
  EXPECT_EQ(Names(plan.decoder),
            (std::vector<std::string>{
                "4x4_in0", "4x4_in1", "4x4_block0", "4x4_block1",
                "4x4_aux_norm", "4x4_aux_conv", "8x8_up", "8x8_block0",
                "8x8_block1", "8x8_aux_up", "8x8_aux_norm", "8x8_aux_conv"}));
}

TEST(UNetTest, FamiliesDifferInWhereTheDecoderAttends) {
  const auto attending = [](const NetworkConfig& c) {
    int n = 0;
    for (const LayerPlan& layer : PlanUNet(c).decoder) n += layer.attention;
    return n;
  };
  EXPECT_EQ(attending(SmallSong()), 2);  // in0, and the last block at 4x4
  EXPECT_EQ(attending(SmallAdm()), 3);   // in0, and both blocks at 4x4
  EXPECT_EQ(AttentionHeads(SmallSong(), 512), 1);
  EXPECT_EQ(AttentionHeads(SmallAdm(), 128), 2);
  EXPECT_EQ(AttentionHeads(SmallAdm(), 32), 0);
}

TEST(UNetTest, ParametersComeInTheReferencesOrder) {
  NetworkConfig c = SmallSong();
  c.two_times = true;
  const auto net = CreateDenoiser(c, 1);
  std::vector<std::string> names;
  for (const auto& p : net->named_parameters()) names.push_back(p.key());
  names.resize(18);
  EXPECT_EQ(names, (std::vector<std::string>{
                       "model.map_layer0.weight", "model.map_layer0.bias",
                       "model.map_layer1.weight", "model.map_layer1.bias",
                       "model.map_layer0_s.weight", "model.map_layer0_s.bias",
                       "model.map_layer1_s.weight", "model.map_layer1_s.bias",
                       "model.enc.8x8_conv.weight", "model.enc.8x8_conv.bias",
                       "model.enc.8x8_block0.norm0.weight",
                       "model.enc.8x8_block0.norm0.bias",
                       "model.enc.8x8_block0.conv0.weight",
                       "model.enc.8x8_block0.conv0.bias",
                       "model.enc.8x8_block0.affine.weight",
                       "model.enc.8x8_block0.affine.bias",
                       "model.enc.8x8_block0.affine_s.weight",
                       "model.enc.8x8_block0.affine_s.bias"}));
}

TEST(UNetTest, EveryEncoderAndDecoderRunsAndTrains) {
  for (const char* encoder : {"standard", "skip", "residual"}) {
    for (const char* decoder : {"standard", "skip"}) {
      NetworkConfig c = SmallSong();
      c.encoder_type = encoder;
      c.decoder_type = decoder;
      c.embedding_type = "fourier";
      c.resample_filter = {1, 3, 3, 1};
      const auto net = CreateDenoiser(c, 1);
      const at::Tensor d =
          net->Denoise(at::randn({2, 2, 8, 8}), torch::tensor({0.5, 3.0}));
      EXPECT_EQ(d.sizes(), (std::vector<int64_t>{2, 2, 8, 8}));
      d.square().sum().backward();
      for (const auto& p : net->named_parameters()) {
        EXPECT_TRUE(p.value().grad().defined()) << p.key();
      }
    }
  }
}

TEST(UNetTest, DropoutWorksInTrainingOnly) {
  NetworkConfig c = SmallSong();
  c.dropout = 0.5;
  const auto net = CreateDenoiser(c, 1);
  Perturb(*net);
  torch::NoGradGuard no_grad;
  const at::Tensor x = at::randn({1, 2, 8, 8});
  const auto run = [&] { return net->Denoise(x, torch::tensor({1.0})); };
  EXPECT_FALSE(at::equal(run(), run()));
  torch::manual_seed(9);
  const at::Tensor first = run();
  torch::manual_seed(9);
  EXPECT_TRUE(at::equal(run(), first));
  net->eval();
  EXPECT_TRUE(at::equal(run(), run()));
}

TEST(UNetTest, LabelDropoutReplacesLabelsByNoneInTrainingOnly) {
  for (NetworkConfig c : {SmallSong(), SmallAdm()}) {
    c.label_dim = 3;
    c.label_dropout = 0.999;
    const auto net = CreateDenoiser(c, 1);
    Perturb(*net);
    torch::NoGradGuard no_grad;
    const at::Tensor x = at::randn({1, 2, 8, 8});
    const at::Tensor sigma = torch::tensor({1.0});
    const at::Tensor label = torch::tensor({{0.f, 1.f, 0.f}});
    const at::Tensor dropped = net->Denoise(x, sigma, label);
    net->eval();
    EXPECT_TRUE(at::allclose(dropped, net->Denoise(x, sigma), 1e-5, 1e-6));
    EXPECT_FALSE(
        at::allclose(dropped, net->Denoise(x, sigma, label), 1e-5, 1e-6));
  }
}

}  // namespace
}  // namespace retort::nn
