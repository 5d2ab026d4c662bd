#include "core/train/loss_scale.h"

#include <gtest/gtest.h>

namespace retort::train {
namespace {

TEST(LossScaleTest, IsOneForEverUnlessItIsDynamic) {
  LossScale scale;
  for (int i = 0; i < 5000; ++i) scale.CountGood();
  EXPECT_FALSE(scale.Halve());
  EXPECT_EQ(scale.value(), 1);
}

TEST(LossScaleTest, DoublesAfterTwoThousandGoodStepsUpToItsBound) {
  LossScale scale = LossScale::Dynamic();
  for (int i = 0; i < 1999; ++i) scale.CountGood();
  EXPECT_EQ(scale.value(), 65536);
  scale.CountGood();
  EXPECT_EQ(scale.value(), 131072);
  for (int i = 0; i < 20000; ++i) scale.CountGood();
  EXPECT_EQ(scale.value(), LossScale::kMax);
}

TEST(LossScaleTest, TakesItsConstantsFromTheOptions) {
  LossScale scale = LossScale::Dynamic(
      {.initial = 8, .growth_factor = 4, .growth_interval = 3});
  EXPECT_EQ(scale.value(), 8);
  for (int i = 0; i < 3; ++i) scale.CountGood();
  EXPECT_EQ(scale.value(), 32);
  scale.Halve();
  EXPECT_EQ(scale.value(), 16);
}

TEST(LossScaleTest, HalvesDownToOneAndThenIsNoRemedyAnyMore) {
  LossScale scale = LossScale::Dynamic();
  for (int i = 0; i < 16; ++i) EXPECT_TRUE(scale.Halve());
  EXPECT_EQ(scale.value(), 1);
  EXPECT_FALSE(scale.Halve());
}

TEST(LossScaleTest, AnOverflowStartsTheCountOfGoodStepsAgain) {
  LossScale scale = LossScale::Dynamic();
  for (int i = 0; i < 1999; ++i) scale.CountGood();
  scale.Halve();
  scale.CountGood();
  EXPECT_EQ(scale.value(), 32768);
}

TEST(LossScaleTest, GoesOnFromWhatItSavedAndIgnoresNonsense) {
  LossScale scale = LossScale::Dynamic();
  scale.Halve();
  for (int i = 0; i < 1999; ++i) scale.CountGood();
  LossScale other = LossScale::Dynamic();
  other.Restore(scale.ToJson());
  EXPECT_EQ(other.ToJson(), scale.ToJson());
  for (const double bad : {0.0, -2.0, 3.0, 1e30}) {
    other.Restore({{"value", bad}, {"good_steps", 1}});
    EXPECT_EQ(other.value(), 32768) << bad;
  }
}

}  // namespace
}  // namespace retort::train
