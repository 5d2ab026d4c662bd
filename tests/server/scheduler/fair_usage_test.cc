#include "server/scheduler/fair_usage.h"

#include <gtest/gtest.h>

#include <cmath>

namespace retort::scheduler {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1000);

TEST(FairUsageTest, HalvesWithEachHalfLife) {
  FairUsage usage(absl::Hours(1), kStart);
  usage.Advance(kStart + absl::Seconds(1), 100);
  const double used = usage.value();
  EXPECT_NEAR(used, 100, 0.01);
  usage.Advance(kStart + absl::Seconds(1) + absl::Hours(2), 0);
  EXPECT_NEAR(usage.value(), used / 4, 1e-9);
}

TEST(FairUsageTest, ConvergesAndDoesNotDependOnTheSteps) {
  FairUsage one(absl::Hours(1), kStart);
  FairUsage many(absl::Hours(1), kStart);
  one.Advance(kStart + absl::Hours(100), 8);
  for (int i = 1; i <= 1000; ++i) {
    many.Advance(kStart + i * absl::Minutes(6), 8);
  }
  EXPECT_NEAR(one.value(), 8 * 3600 / std::log(2.0), 1e-6);
  EXPECT_NEAR(many.value(), one.value(), 1e-6);
}

TEST(FairUsageTest, ForgetsNothingWithoutAHalfLife) {
  FairUsage usage(absl::InfiniteDuration(), kStart);
  usage.Advance(kStart + absl::Hours(1), 2);
  usage.Advance(kStart + absl::Hours(2), 0);
  usage.Advance(kStart, 5);  // time does not go back
  EXPECT_EQ(usage.value(), 7200);
}

}  // namespace
}  // namespace retort::scheduler
