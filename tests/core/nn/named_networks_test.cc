#include "core/nn/named_networks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/nn/denoiser.h"
#include "core/nn/network_size.h"
#include "tests/core/nn/small_networks.h"
#include "tests/support/status_matchers.h"

namespace retort::nn {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

NetworkConfig Named(const std::string& name, int64_t classes = -1) {
  NetworkConfig config = *NamedNetwork(name);
  if (classes >= 0) config.label_dim = classes;
  return config;
}

TEST(NamedNetworksTest, AreAllValid) {
  for (const std::string& name : NetworkNames()) {
    EXPECT_THAT(Named(name).Validate(), IsOk()) << name;
  }
}

TEST(NamedNetworksTest, UnknownNameIsRefusedWithAllNames) {
  EXPECT_THAT(NamedNetwork("ddpm-cifar"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("\"ddpm-cifar\""),
                             HasSubstr("ddpmpp-cifar10, ncsnpp-cifar10, "
                                       "ddpmpp-64, ncsnpp-64, "
                                       "adm-imagenet64"))));
}

TEST(NamedNetworksTest, HaveTheHyperParametersOfTheReleasedModels) {
  const NetworkConfig vp = Named("ddpmpp-cifar10");
  EXPECT_THAT(vp.channel_mult, ElementsAre(2, 2, 2));
  EXPECT_EQ(vp.dropout, 0.13);
  EXPECT_EQ(vp.augment_dim, 9);
  const NetworkConfig ve = Named("ncsnpp-64");
  EXPECT_THAT(ve.channel_mult, ElementsAre(1, 2, 2, 2));
  EXPECT_THAT(ve.resample_filter, ElementsAre(1, 3, 3, 1));
  EXPECT_EQ(ve.encoder_type, "residual");
  EXPECT_EQ(ve.embedding_type, "fourier");
  EXPECT_EQ(ve.channel_mult_noise, 2);
  const NetworkConfig adm = Named("adm-imagenet64");
  EXPECT_EQ(adm.model_channels, 192);
  EXPECT_THAT(adm.attn_resolutions, ElementsAre(32, 16, 8));
  EXPECT_EQ(adm.augment_dim, 0);
}

// EDM says 55.7, 61.8 and 296 million (table 7 and its repository).
TEST(NamedNetworksTest, HaveThePublishedNumbersOfParameters) {
  EXPECT_EQ(CountParameters(Named("ddpmpp-cifar10", 0)), 55733891);
  EXPECT_EQ(CountParameters(Named("ddpmpp-cifar10")), 55735299);
  EXPECT_EQ(CountParameters(Named("ncsnpp-cifar10", 0)), 56397827);
  EXPECT_EQ(CountParameters(Named("ncsnpp-cifar10")), 56400643);
  EXPECT_EQ(CountParameters(Named("ddpmpp-64")), 61805571);
  EXPECT_EQ(CountParameters(Named("ncsnpp-64")), 62761091);
  EXPECT_EQ(CountParameters(Named("adm-imagenet64")), 295899267);
}

TEST(NetworkSizeTest, CountsWhatIsAllocated) {
  for (const std::string& name : NetworkNames()) {
    for (const bool two_times : {false, true}) {
      NetworkConfig config = Named(name, 7);
      config.model_channels = 64;
      config.two_times = two_times;
      EXPECT_EQ(CountParameters(config),
                CreateDenoiser(config, std::nullopt)->NumParameters())
          << name << " two_times " << two_times;
    }
  }
}

TEST(NetworkSizeTest, CountsSkipEncoderAndDecoder) {
  NetworkConfig config = SmallSong();
  config.encoder_type = config.decoder_type = "skip";
  config.augment_dim = 9;
  EXPECT_EQ(CountParameters(config),
            CreateDenoiser(config, std::nullopt)->NumParameters());
}

TEST(NetworkSizeTest, CountsNoAttentionInNarrowAdmBlocks) {
  const NetworkConfig config = SmallAdm();
  EXPECT_EQ(CountParameters(config),
            CreateDenoiser(config, std::nullopt)->NumParameters());
}

TEST(NetworkSizeTest, ActivationsGrowWithTheImageAndWithDropout) {
  NetworkConfig config = SmallSong();
  const int64_t small = CountActivations(config);
  EXPECT_GT(small, 8 * 8 * 8 * 10);
  config.dropout = 0.1;
  EXPECT_GT(CountActivations(config), small);
  config = SmallSong();
  config.img_resolution = 16;
  EXPECT_GT(CountActivations(config), 3 * small);
}

}  // namespace
}  // namespace retort::nn
