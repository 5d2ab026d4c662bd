#include "core/nn/network_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace retort::nn {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
constexpr auto kBadConfig = absl::StatusCode::kInvalidArgument;

TEST(NetworkConfigTest, DefaultsOfBothFamiliesAreValid) {
  EXPECT_THAT(NetworkConfig().Validate(), IsOk());
  EXPECT_THAT(NetworkConfig::Defaults("DhariwalUNet").Validate(), IsOk());
  EXPECT_EQ(NetworkConfig::Defaults("DhariwalUNet").model_channels, 192);
}

TEST(NetworkConfigTest, JsonRoundTripKeepsEveryField) {
  NetworkConfig c;
  c.label_dim = 10;
  c.channel_mult = {1, 3};
  c.encoder_type = "residual";
  c.resample_filter = {1, 3, 3, 1};
  c.two_times = true;
  RETORT_ASSERT_OK_AND_ASSIGN(const NetworkConfig back,
                              NetworkConfig::FromJson(c.ToJson()));
  EXPECT_EQ(back.ToJson(), c.ToJson());
  const NetworkConfig adm = NetworkConfig::Defaults("DhariwalUNet");
  RETORT_ASSERT_OK_AND_ASSIGN(const NetworkConfig again,
                              NetworkConfig::FromJson(adm.ToJson()));
  EXPECT_EQ(again.ToJson(), adm.ToJson());
}

TEST(NetworkConfigTest, MissingKeysHaveTheDefaultsOfTheModelType) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const NetworkConfig c,
      NetworkConfig::FromJson({{"model_type", "DhariwalUNet"}}));
  EXPECT_EQ(c.num_blocks, 3);
}

TEST(NetworkConfigTest, RefusesUnknownKeysAndWrongTypes) {
  EXPECT_THAT(NetworkConfig::FromJson({{"chanel_mult", {1, 2}}}),
              StatusIs(kBadConfig, HasSubstr("unknown key \"chanel_mult\"")));
  EXPECT_THAT(NetworkConfig::FromJson({{"num_blocks", "two"}}),
              StatusIs(kBadConfig, HasSubstr("num_blocks")));
  EXPECT_THAT(NetworkConfig::FromJson({{"num_blocks", 2.5}}),
              StatusIs(kBadConfig, HasSubstr("num_blocks is 2.5")));
  EXPECT_THAT(NetworkConfig::FromJson(nlohmann::json::array()),
              StatusIs(kBadConfig, HasSubstr("array")));
}

TEST(NetworkConfigTest, SaysWhatIsAllowed) {
  NetworkConfig c;
  c.model_type = "SongNet";
  EXPECT_THAT(c.Validate(), StatusIs(kBadConfig, AllOf(HasSubstr("\"SongNet\""),
                                                       HasSubstr("SongUNet"))));
  c = NetworkConfig();
  c.img_resolution = 28;
  EXPECT_THAT(c.Validate(), StatusIs(kBadConfig, HasSubstr("divisible by 8")));
  c = NetworkConfig();
  c.dropout = 1;
  EXPECT_THAT(c.Validate(), StatusIs(kBadConfig, HasSubstr("dropout is 1")));
  c = NetworkConfig();
  c.resample_filter = {1, 2, 1};
  EXPECT_THAT(c.Validate(), StatusIs(kBadConfig, HasSubstr("resample_filter")));
}

TEST(NetworkConfigTest, RefusesWidthsThatDoNotDivideIntoGroups) {
  NetworkConfig c;
  c.model_channels = 14;
  EXPECT_THAT(c.Validate(),
              StatusIs(kBadConfig,
                       AllOf(HasSubstr("32x32_block0"), HasSubstr("groups"))));
}

TEST(NetworkConfigTest, RefusesSongChoicesForTheOtherFamily) {
  NetworkConfig c = NetworkConfig::Defaults("DhariwalUNet");
  c.embedding_type = "fourier";
  EXPECT_THAT(c.Validate(), StatusIs(kBadConfig, HasSubstr("DhariwalUNet")));
}

}  // namespace
}  // namespace retort::nn
