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

}  // namespace
}  // namespace retort::service
