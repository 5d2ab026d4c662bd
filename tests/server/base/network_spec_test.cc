#include "server/base/network_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace retort::service {
namespace {

using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(NetworkSpecTest, EmptySpecMakesAValidNetwork) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const nn::NetworkConfig config,
      ToNetworkConfig(v1::NetworkSpec(), 0.5, 32, 1, 10));
  EXPECT_EQ(config.model_type, "SongUNet");
  EXPECT_EQ(config.model_channels, 32);
  EXPECT_THAT(config.channel_mult, ElementsAre(1, 2, 2));
  EXPECT_EQ(config.label_dim, 10);
}

TEST(NetworkSpecTest, NamesTheFieldOfAnImpossibleNetwork) {
  v1::NetworkSpec spec;
  spec.set_encoder_type("wishful");
  EXPECT_THAT(
      ToNetworkConfig(spec, 0.5, 32, 1, 10),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("encoder_type")));
}

TEST(NetworkSpecTest, PresetGivesWhatWasLeftOutAndTheAugmentationLabel) {
  v1::NetworkSpec spec;
  spec.set_preset("ncsnpp-cifar10");
  RETORT_ASSERT_OK_AND_ASSIGN(const nn::NetworkConfig config,
                              ToNetworkConfig(spec, 0.5, 32, 3, 0));
  EXPECT_EQ(config.embedding_type, "fourier");
  EXPECT_THAT(config.channel_mult, ElementsAre(2, 2, 2));
  EXPECT_THAT(config.attn_resolutions, ElementsAre(16));
  EXPECT_EQ(config.num_blocks, 4);
  EXPECT_EQ(config.dropout, 0.13);
  EXPECT_EQ(config.augment_dim, 9);
  EXPECT_EQ(config.label_dim, 0);
}

TEST(NetworkSpecTest, GivenFieldsWinOverThePreset) {
  v1::NetworkSpec spec;
  spec.set_preset("adm-imagenet64");
  spec.set_model_channels(64);
  spec.set_dropout(0.25);
  spec.add_channel_mult(1);
  spec.add_channel_mult(2);
  RETORT_ASSERT_OK_AND_ASSIGN(const nn::NetworkConfig config,
                              ToNetworkConfig(spec, 0.5, 64, 3, 1000));
  EXPECT_EQ(config.model_type, "DhariwalUNet");
  EXPECT_EQ(config.model_channels, 64);
  EXPECT_EQ(config.dropout, 0.25);
  EXPECT_THAT(config.channel_mult, ElementsAre(1, 2));
  EXPECT_EQ(config.num_blocks, 3);
  EXPECT_EQ(config.augment_dim, 0);
}

TEST(NetworkSpecTest, RefusesAnUnknownPresetAndOneOfAnotherType) {
  v1::NetworkSpec spec;
  spec.set_preset("adm");
  EXPECT_THAT(ToNetworkConfig(spec, 0.5, 64, 3, 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("use one of ddpmpp-cifar10")));
  spec.set_preset("adm-imagenet64");
  spec.set_model_type("SongUNet");
  EXPECT_THAT(ToNetworkConfig(spec, 0.5, 64, 3, 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("is a DhariwalUNet")));
}

TEST(NetworkSpecTest, FilledSpecMakesTheSameNetwork) {
  for (const char* preset : {"", "ddpmpp-64", "adm-imagenet64"}) {
    v1::NetworkSpec spec;
    spec.set_preset(preset);
    RETORT_ASSERT_OK_AND_ASSIGN(const nn::NetworkConfig given,
                                ToNetworkConfig(spec, 0.5, 64, 3, 0));
    ASSERT_TRUE(FillNetworkDefaults(&spec).ok());
    RETORT_ASSERT_OK_AND_ASSIGN(const nn::NetworkConfig filled,
                                ToNetworkConfig(spec, 0.5, 64, 3, 0));
    EXPECT_EQ(filled.ToJson(), given.ToJson());
    EXPECT_EQ(spec.num_blocks(), given.num_blocks);
  }
}

}  // namespace
}  // namespace retort::service
