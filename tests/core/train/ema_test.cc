#include "core/train/ema.h"

#include <gtest/gtest.h>

#include <cmath>

namespace retort::train {
namespace {

TEST(EmaTest, StartsAsACopyThatDoesNotShareMemory) {
  at::Tensor p = at::ones({2});
  const Ema ema({p});
  p.fill_(5);
  EXPECT_TRUE(ema.values()[0].equal(at::ones({2})));
}

TEST(EmaTest, MovesByOneMinusTheRate) {
  at::Tensor p = at::zeros({2}, at::kDouble);
  Ema ema({p});
  p.fill_(1);
  ema.Update({p}, 0.9);
  ema.Update({p}, 0.9);
  EXPECT_NEAR(ema.values()[0][0].item<double>(), 0.19, 1e-12);
}

TEST(EmaTest, RateZeroFollowsTheParametersExactly) {
  at::Tensor p = at::zeros({1});
  Ema ema({p});
  p.fill_(3);
  ema.Update({p}, 0);
  EXPECT_EQ(ema.values()[0].item<float>(), 3.0f);
}

TEST(EmaTest, OverAveragesIntoTheGivenTensors) {
  at::Tensor value = at::zeros({1}), p = at::ones({1});
  Ema::Over({value}).Update({p}, 0.5);
  EXPECT_FLOAT_EQ(value.item<float>(), 0.5f);
}

TEST(EmaTest, HalflifeHalvesAfterThatManyImages) {
  double remaining = 1;
  for (int k = 0; k < 10; ++k) remaining *= HalflifeRate(10, 100, 0, 0);
  EXPECT_NEAR(remaining, 0.5, 1e-12);
}

TEST(EmaTest, HalflifeIsShortWhileFewImagesWereSeen) {
  EXPECT_EQ(HalflifeRate(10, 1000, 0.05, 0), 0.0);
  EXPECT_NEAR(HalflifeRate(10, 1000, 0.05, 200), std::pow(0.5, 1.0), 1e-12);
}

}  // namespace
}  // namespace retort::train
