#include "core/distill/lpips.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/core/distill/made_up_lpips.h"
#include "tests/support/status_matchers.h"

namespace retort::distill {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::LpipsTensors;
using ::retort::testing::MadeUpBackbone;
using ::retort::testing::MadeUpHeads;
using ::retort::testing::MadeUpLpips;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kBad = absl::StatusCode::kInvalidArgument;
const char kSqueeze[] = "squeezenet1_1";

// Two images in [0, 1].
at::Tensor Images(uint64_t seed, int64_t side = 32, int64_t channels = 3,
                  at::ScalarType dtype = at::kFloat) {
  return at::rand({2, channels, side, side},
                  at::make_generator<at::CPUGeneratorImpl>(seed),
                  at::TensorOptions(dtype));
}

absl::Status CreateWith(const LpipsTensors& backbone, const LpipsTensors& heads,
                        const std::string& name = "") {
  return Lpips::Create({.backbone = name}, backbone, heads).status();
}

TEST(LpipsTest, EqualImagesAreNotApartAndOthersAre) {
  for (const std::string& name : nn::BackboneNames()) {
    const auto lpips = MadeUpLpips({.backbone = name});
    const at::Tensor a = Images(1);
    EXPECT_EQ(lpips->PerSample(a, a).abs().max().item<double>(), 0) << name;
    EXPECT_GT(lpips->PerSample(a, Images(2)).min().item<double>(), 0) << name;
  }
}

TEST(LpipsTest, IsSymmetricAndTheSumOfItsLayers) {
  const auto lpips = MadeUpLpips({.backbone = kSqueeze});
  const at::Tensor a = Images(1, 32, 3, at::kDouble);
  const at::Tensor b = Images(2, 32, 3, at::kDouble);
  const at::Tensor d = lpips->PerSample(a, b);
  EXPECT_EQ(d.sizes(), at::IntArrayRef({2}));
  EXPECT_TRUE(at::allclose(d, lpips->PerSample(b, a), 1e-12, 0));
  const at::Tensor layers = lpips->PerLayer(a, b);
  EXPECT_EQ(layers.sizes(), at::IntArrayRef({2, 7}));
  EXPECT_TRUE(at::allclose(layers.sum(1), d, 1e-12, 0));
}

// Features of torchvision's AlexNet, layer by layer, of images in [-1, 1].
std::vector<at::Tensor> AlexNetFeatures(const LpipsTensors& w, at::Tensor x) {
  const auto constant = [](std::vector<float> values) {
    return at::tensor(values, at::kFloat).view({1, 3, 1, 1}).to(at::kDouble);
  };
  const auto layer = [&w](const at::Tensor& in, const std::string& name,
                          int64_t stride, int64_t padding) {
    return at::relu(at::conv2d(in, w.at(name + ".weight").to(at::kDouble),
                               w.at(name + ".bias").to(at::kDouble),
                               {stride, stride}, {padding, padding}));
  };
  x = (x - constant({-.030f, -.088f, -.188f})) /
      constant({.458f, .448f, .450f});
  std::vector<at::Tensor> f = {layer(x, "features.0", 4, 2)};
  f.push_back(
      layer(at::max_pool2d(f.back(), {3, 3}, {2, 2}), "features.3", 1, 2));
  f.push_back(
      layer(at::max_pool2d(f.back(), {3, 3}, {2, 2}), "features.6", 1, 1));
  f.push_back(layer(f.back(), "features.8", 1, 1));
  f.push_back(layer(f.back(), "features.10", 1, 1));
  return f;
}

TEST(LpipsTest, IsTheFormulaOnAlexNet) {
  const LpipsTensors w = MadeUpBackbone("alexnet");
  const LpipsTensors heads = MadeUpHeads("alexnet");
  RETORT_ASSERT_OK_AND_ASSIGN(
      const auto lpips, Lpips::Create({.pooling = nn::Pooling::kMax,
                                       .input = LpipsOptions::Input::kSigned},
                                      w, heads));
  const at::Tensor a = 2 * Images(1, 64, 3, at::kDouble) - 1;
  const at::Tensor b = 2 * Images(2, 64, 3, at::kDouble) - 1;
  const auto f = AlexNetFeatures(w, a), g = AlexNetFeatures(w, b);
  at::Tensor expected = at::zeros({2}, at::kDouble);
  for (size_t l = 0; l < f.size(); ++l) {
    const at::Tensor head =
        heads.at("lin" + std::to_string(l) + ".model.1.weight").to(at::kDouble);
    const at::Tensor y = f[l] / (f[l].norm(2, {1}, true) + 1e-10);
    const at::Tensor z = g[l] / (g[l].norm(2, {1}, true) + 1e-10);
    expected = expected + (head * (y - z).pow(2)).sum({1}).mean({1, 2});
  }
  EXPECT_TRUE(at::allclose(lpips->PerSample(a, b), expected, 1e-11, 0));
}

// Along one direction, for each image in turn.
TEST(LpipsTest, TheGradientsOfBothImagesAreThoseOfFiniteDifferences) {
  for (const nn::Pooling pooling : {nn::Pooling::kMean, nn::Pooling::kMax}) {
    const auto lpips = MadeUpLpips({.backbone = kSqueeze, .pooling = pooling});
    at::Tensor images[] = {Images(1, 24, 3, at::kDouble),
                           Images(2, 24, 3, at::kDouble)};
    for (at::Tensor& x : images) x.set_requires_grad(true);
    lpips->PerSample(images[0], images[1]).sum().backward();
    const at::Tensor direction = Images(3, 24, 3, at::kDouble) - 0.5;
    for (int i : {0, 1}) {
      const double h = 1e-7;  // few ReLUs and maxima switch in between
      const auto moved = [&](double by) {
        torch::NoGradGuard no_grad;
        const at::Tensor x = images[i] + by * direction;
        return (i == 0 ? lpips->PerSample(x, images[1])
                       : lpips->PerSample(images[0], x))
            .sum()
            .item<double>();
      };
      const double slope = (moved(h) - moved(-h)) / (2 * h);
      const double gradient =
          (images[i].grad() * direction).sum().item<double>();
      EXPECT_NEAR(gradient, slope, 1e-5 * std::abs(slope)) << i;
    }
  }
}

TEST(LpipsTest, ItsWeightsAreFrozen) {
  LpipsTensors backbone = MadeUpBackbone(kSqueeze);
  LpipsTensors heads = MadeUpHeads(kSqueeze);
  for (auto* tensors : {&backbone, &heads}) {
    for (auto& [name, tensor] : *tensors) tensor.set_requires_grad(true);
  }
  RETORT_ASSERT_OK_AND_ASSIGN(const auto lpips,
                              Lpips::Create({}, backbone, heads));
  EXPECT_EQ(lpips->backbone().name, kSqueeze);  // by its tensors
  const at::Tensor b = Images(2).set_requires_grad(true);
  lpips->PerSample(Images(1), b).sum().backward();
  EXPECT_TRUE(b.grad().defined());
  EXPECT_FALSE(backbone.at("features.0.weight").grad().defined());
  EXPECT_FALSE(heads.at("lin0.model.1.weight").grad().defined());
}

// Their squares are 0 in float32, but they are not.
TEST(LpipsTest, FeaturesThatAreAlmostZeroHaveAGradient) {
  LpipsTensors backbone = MadeUpBackbone(kSqueeze);
  for (auto& [name, tensor] : backbone) tensor.zero_();
  backbone["features.0.bias"].fill_(1e-25);
  RETORT_ASSERT_OK_AND_ASSIGN(
      const auto lpips, Lpips::Create({}, backbone, MadeUpHeads(kSqueeze)));
  const at::Tensor a = Images(1).set_requires_grad(true);
  lpips->PerSample(a, Images(2)).sum().backward();
  EXPECT_TRUE(at::isfinite(a.grad()).all().item<bool>());
}

TEST(LpipsTest, OneChannelCountsAsThreeEqualOnes) {
  const auto lpips = MadeUpLpips({.backbone = kSqueeze});
  const at::Tensor a = Images(1, 32, 1), b = Images(2, 32, 1);
  EXPECT_TRUE(at::equal(
      lpips->PerSample(a, b),
      lpips->PerSample(a.repeat({1, 3, 1, 1}), b.repeat({1, 3, 1, 1}))));
  EXPECT_THAT(lpips->CheckImages(2, 32),
              StatusIs(kBad, HasSubstr("2 channels")));
}

TEST(LpipsTest, BothFormsOfInputAreTheSameMap) {
  const auto unit = MadeUpLpips({.backbone = kSqueeze});
  const auto with_sign = MadeUpLpips(
      {.backbone = kSqueeze, .input = LpipsOptions::Input::kSigned});
  const at::Tensor a = Images(1), b = Images(2);
  EXPECT_TRUE(at::allclose(unit->PerSample(a, b),
                           with_sign->PerSample(2 * a - 1, 2 * b - 1), 1e-4));
}

TEST(LpipsTest, HalfPrecisionIsWidened) {
  const auto lpips = MadeUpLpips({.backbone = kSqueeze});
  const at::Tensor a = Images(1).to(at::kBFloat16);
  const at::Tensor b = Images(2).to(at::kBFloat16);
  const at::Tensor d = lpips->PerSample(a, b);
  EXPECT_EQ(d.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(
      d, lpips->PerSample(a.to(at::kFloat), b.to(at::kFloat)).to(d.dtype())));
}

// At the smallest side every layer still puts something out.
TEST(LpipsTest, TheSmallestSideIsTheSmallestThatWorks) {
  for (const std::string& name : nn::BackboneNames()) {
    for (const nn::Pooling pooling : {nn::Pooling::kMean, nn::Pooling::kMax}) {
      const auto lpips = MadeUpLpips({.backbone = name, .pooling = pooling});
      const int64_t side = LpipsMinSide(name, pooling);
      const at::Tensor d = lpips->PerSample(Images(1, side), Images(2, side));
      EXPECT_TRUE(at::isfinite(d).all().item<bool>()) << name << side;
      EXPECT_THAT(lpips->CheckImages(3, side), IsOk());
      EXPECT_THAT(lpips->CheckImages(3, side - 1),
                  StatusIs(kBad, HasSubstr("resize them")));
      EXPECT_THROW(lpips->PerSample(Images(1, side - 1), Images(2, side - 1)),
                   c10::Error);
    }
  }
  EXPECT_EQ(LpipsMinSide("vgg16", nn::Pooling::kMean), 16);
  EXPECT_EQ(LpipsMinSide("resnet", nn::Pooling::kMean), 0);
}

TEST(LpipsTest, SaysWhichTensorIsWrong) {
  const LpipsTensors backbone = MadeUpBackbone(kSqueeze);
  const LpipsTensors heads = MadeUpHeads(kSqueeze);
  LpipsTensors bad = backbone;
  bad.erase("features.9.squeeze.bias");
  EXPECT_THAT(CreateWith(bad, heads),
              StatusIs(kBad, AllOf(HasSubstr("features.9.squeeze.bias"),
                                   HasSubstr("missing"))));
  bad = backbone;
  bad["features.0.weight"] = at::zeros({64, 1, 3, 3});
  EXPECT_THAT(CreateWith(bad, heads),
              StatusIs(kBad, HasSubstr("[64, 1, 3, 3], not [64, 3, 3, 3]")));
  bad = backbone;
  bad["features.0.bias"] = at::zeros({64}, at::kLong);
  EXPECT_THAT(CreateWith(bad, heads), StatusIs(kBad, HasSubstr("Long")));
  EXPECT_THAT(CreateWith(backbone, MadeUpHeads("vgg16")),
              StatusIs(kBad, HasSubstr("the heads for squeezenet1_1")));
  EXPECT_THAT(CreateWith(heads, backbone),
              StatusIs(kBad, HasSubstr("no tensor of vgg16 or alexnet")));
  EXPECT_THAT(CreateWith(backbone, heads, "resnet"),
              StatusIs(kBad, HasSubstr("use one of vgg16, alexnet")));
}

TEST(LpipsTest, AWholeClassifierIsFine) {
  LpipsTensors backbone = MadeUpBackbone("alexnet");
  backbone["classifier.6.weight"] = at::zeros({1000, 4096});
  EXPECT_THAT(CreateWith(backbone, MadeUpHeads("alexnet")), IsOk());
}

}  // namespace
}  // namespace retort::distill
