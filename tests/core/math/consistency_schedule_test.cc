#include "core/math/consistency_schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace retort::math {
namespace {

TEST(ConsistencyScheduleTest, FixedStaysAsItStarts) {
  ConsistencyScheduleOptions o;
  o.start_scales = 40;
  o.start_ema = 0.95;
  EXPECT_EQ(StageAt(o, 123456).num_times, 40);
  EXPECT_DOUBLE_EQ(StageAt(o, 123456).target_ema, 0.95);
}

TEST(ConsistencyScheduleTest, ProgressiveGrowsFromStartToEnd) {
  ConsistencyScheduleOptions o;
  o.scale = ConsistencyScheduleOptions::Scale::kProgressive;
  o.start_scales = 2;
  o.end_scales = 150;
  o.total_steps = 1000;
  EXPECT_EQ(StageAt(o, 0).num_times, 2);
  EXPECT_EQ(StageAt(o, 1000).num_times, 151);
  for (int k = 0; k < 1000; k += 50) {
    EXPECT_LE(StageAt(o, k).num_times, StageAt(o, k + 50).num_times);
  }
}

TEST(ConsistencyScheduleTest, AdaptiveRateRisesWithTheNumberOfTimes) {
  ConsistencyScheduleOptions o;
  o.scale = ConsistencyScheduleOptions::Scale::kProgressive;
  o.adaptive_ema = true;
  o.start_ema = 0.95;
  o.start_scales = 2;
  o.end_scales = 200;
  o.total_steps = 1000;
  // Song et al. 2023, Section 5: exp(s0 ln(mu0) / N).
  EXPECT_DOUBLE_EQ(StageAt(o, 0).target_ema, std::exp(2 * std::log(0.95)));
  EXPECT_GT(StageAt(o, 999).target_ema, 0.999);
}

TEST(ConsistencyScheduleTest, ProgressiveDistillationHalves) {
  ConsistencyScheduleOptions o;
  o.scale = ConsistencyScheduleOptions::Scale::kProgressiveDistillation;
  o.start_scales = 8;
  o.distill_steps_per_iter = 10;
  EXPECT_EQ(StageAt(o, 0).num_times, 8);
  EXPECT_EQ(StageAt(o, 10).num_times, 4);
  EXPECT_EQ(StageAt(o, 20).num_times, 2);
  EXPECT_EQ(StageAt(o, 39).num_times, 2);
  EXPECT_EQ(StageAt(o, 40).num_times, 1);
}

}  // namespace
}  // namespace retort::math
