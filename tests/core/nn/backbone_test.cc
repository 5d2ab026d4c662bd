#include "core/nn/backbone.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace retort::nn {
namespace {

using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kBad = absl::StatusCode::kInvalidArgument;

// torchvision's counts without their classifiers: 138,357,544 - 123,642,856,
// 61,100,840 - 58,631,144 and 1,235,496 - 513,000.
TEST(BackboneTest, HasAsManyWeightsAsTorchvisions) {
  EXPECT_EQ(CountParameters(*NamedBackbone("vgg16")), 14714688);
  EXPECT_EQ(CountParameters(*NamedBackbone("alexnet")), 2469696);
  EXPECT_EQ(CountParameters(*NamedBackbone("squeezenet1_1")), 722496);
}

TEST(BackboneTest, NamesTensorsAsTorchvisionAndLpipsDo) {
  const TensorShapes vgg = BackboneShapes(*NamedBackbone("vgg16"));
  EXPECT_EQ(vgg.size(), 26);
  EXPECT_THAT(vgg.at("features.28.weight"), ElementsAre(512, 512, 3, 3));
  const TensorShapes squeeze = BackboneShapes(*NamedBackbone("squeezenet1_1"));
  EXPECT_THAT(squeeze.at("features.12.expand3x3.weight"),
              ElementsAre(256, 64, 3, 3));
  const TensorShapes heads = HeadShapes(*NamedBackbone("alexnet"));
  EXPECT_EQ(heads.size(), 5);
  EXPECT_THAT(heads.at("lin2.model.1.weight"), ElementsAre(1, 384, 1, 1));
}

TEST(BackboneTest, IsRecognisedByItsTensors) {
  for (const std::string& name : BackboneNames()) {
    const Backbone net = *NamedBackbone(name);
    TensorShapes shapes = BackboneShapes(net);
    EXPECT_EQ(*RecogniseBackbone(shapes), name);
    EXPECT_EQ(*RecogniseHeads(HeadShapes(net)), name);
    EXPECT_THAT(RecogniseHeads(shapes), StatusIs(kBad));
    shapes["classifier.6.weight"] = {1000, 4096};
    EXPECT_EQ(*RecogniseBackbone(shapes), name);
    shapes.erase("features.0.bias");
    EXPECT_THAT(
        RecogniseBackbone(shapes),
        StatusIs(kBad, AllOf(HasSubstr(name), HasSubstr("features.0.bias"))));
  }
  EXPECT_THAT(RecogniseBackbone({{"conv1.weight", {64, 3, 7, 7}}}),
              StatusIs(kBad, HasSubstr("such as features.0.bias")));
}

// relu1_2 of VGG16 at 224, and all of it at the smallest side.
TEST(BackboneTest, CountsWhatItPutsOut) {
  const Backbone net = *NamedBackbone("vgg16");
  EXPECT_EQ(CountOutputs(net, Pooling::kMax, 224), 13547520);
  EXPECT_EQ(MinSide(net, Pooling::kMax), 16);
  EXPECT_EQ(
      CountOutputs(net, Pooling::kMean, 16),
      2 * 64 * 256 + 2 * 128 * 64 + 3 * 256 * 16 + 3 * 512 * 4 + 3 * 512 * 1);
}

}  // namespace
}  // namespace retort::nn
