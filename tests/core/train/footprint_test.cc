#include "core/train/footprint.h"

#include <gtest/gtest.h>

#include "core/nn/named_networks.h"
#include "core/nn/network_size.h"
#include "core/train/checkpoint.h"
#include "core/train/train_state.h"
#include "tests/support/status_matchers.h"

namespace retort::train {
namespace {

FootprintOptions TinyFootprint() {
  FootprintOptions options;
  options.network.img_resolution = 8;
  options.network.model_channels = 8;
  options.network.channel_mult = {1};
  options.network.num_blocks = 1;
  options.network.attn_resolutions = {};
  return options;
}

TEST(FootprintTest, CheckpointHoldsWhatTheTrainStateHolds) {
  for (const Method method : {Method::kEdm, Method::kCm, Method::kCtm}) {
    FootprintOptions options = TinyFootprint();
    options.method = method;
    options.network.two_times = method == Method::kCtm;
    options.averages = 2;
    TrainOptions train;
    train.method = method;
    train.ema_rates = {0.9, 0.99};
    RETORT_ASSERT_OK_AND_ASSIGN(
        const auto state,
        TrainState::Create(train, nn::CreateDenoiser(options.network, 1)));
    int64_t bytes = 0;
    for (const auto& [name, t] : state->ToCheckpoint({}).tensors) {
      bytes += static_cast<int64_t>(t.nbytes());
    }
    EXPECT_EQ(CheckpointBytes(options), bytes) << MethodName(method);
  }
}

TEST(FootprintTest, CheckpointHoldsTheDiscriminatorToo) {
  FootprintOptions options = TinyFootprint();
  options.method = Method::kCm;
  options.gan_channels = 4;
  TrainOptions train;
  train.method = Method::kCm;
  train.gan.weight = 1;
  train.gan.channels = 4;
  RETORT_ASSERT_OK_AND_ASSIGN(
      const auto state,
      TrainState::Create(train, nn::CreateDenoiser(options.network, 1)));
  int64_t bytes = 0;
  for (const auto& [name, t] : state->ToCheckpoint({}).tensors) {
    bytes += static_cast<int64_t>(t.nbytes());
  }
  EXPECT_EQ(CheckpointBytes(options), bytes);
  const Footprint with = EstimateFootprint(options);
  options.gan_channels = 0;
  const Footprint without = EstimateFootprint(options);
  EXPECT_LT(CheckpointBytes(options), bytes);
  EXPECT_GT(with.weights, without.weights);
  EXPECT_GT(with.activations, without.activations);
  // The discriminator's own, and the student's for it.
  EXPECT_EQ(with.gradients - without.gradients,
            with.weights - without.weights +
                4 * nn::CountParameters(options.network));
}

TEST(FootprintTest, CountsEverySetOfWeights) {
  FootprintOptions options = TinyFootprint();
  const int64_t p = 4 * nn::CountParameters(options.network);
  const Footprint edm = EstimateFootprint(options);
  EXPECT_EQ(edm.weights, 2 * p);  // network, average
  EXPECT_EQ(edm.gradients, p);
  EXPECT_EQ(edm.optimizer, 2 * p);
  options.method = Method::kCm;
  options.teacher_parameters = p / 4;
  EXPECT_EQ(EstimateFootprint(options).weights, 4 * p);
}

TEST(FootprintTest, SeveralRanksHoldWhatTheySendEachOther) {
  FootprintOptions options = TinyFootprint();
  options.method = Method::kCtm;
  const int64_t p = 4 * nn::CountParameters(options.network);
  const int64_t alone = EstimateFootprint(options).gradients;
  options.ranks = 2;
  // Of both losses, whose weights depend on both.
  EXPECT_EQ(EstimateFootprint(options).gradients - alone, 2 * p);
  options.denoising = false;
  options.ranks = 1;
  const int64_t without = EstimateFootprint(options).gradients;
  options.ranks = 8;
  EXPECT_EQ(EstimateFootprint(options).gradients - without, p);
}

TEST(FootprintTest, CountsTheCopyThatACheckpointIsWrittenFrom) {
  const FootprintOptions options = TinyFootprint();
  const Footprint f = EstimateFootprint(options);
  EXPECT_EQ(f.Total() - f.Step(), CheckpointBytes(options));
}

TEST(FootprintTest, ActivationsGrowWithImagesAndHalveWithHalfPrecision) {
  FootprintOptions options = TinyFootprint();
  const int64_t one = EstimateFootprint(options).activations;
  EXPECT_EQ(one, 4 * nn::CountActivations(options.network));
  options.images = 3;
  EXPECT_EQ(EstimateFootprint(options).activations, 3 * one);
  options.half = true;
  EXPECT_EQ(EstimateFootprint(options).activations, 3 * one / 2);
  options.method = Method::kCtm;  // its gradient passes two networks
  EXPECT_EQ(EstimateFootprint(options).activations, 3 * one);
}

TEST(FootprintTest, LpipsAddsItsBackbone) {
  FootprintOptions options = TinyFootprint();
  options.method = Method::kCm;
  const int64_t without = EstimateFootprint(options).Total();
  options.lpips_side = 224;
  const int64_t with = EstimateFootprint(options).Total();
  EXPECT_GT(with - without, int64_t{150} << 20);
  EXPECT_LT(with - without, int64_t{200} << 20);
}

}  // namespace
}  // namespace retort::train
