#include "core/eval/interval.h"

#include <gtest/gtest.h>

#include <cmath>

namespace retort::eval {
namespace {

TEST(IntervalTest, QuantilesAreThoseOfTheTables) {
  // n = 1 and 2 in closed form, the others from printed tables.
  EXPECT_NEAR(StudentQuantile975(1), std::tan(0.475 * M_PI), 1e-9);
  EXPECT_NEAR(StudentQuantile975(2), 0.95 * std::sqrt(2 / (1 - 0.9025)), 1e-9);
  EXPECT_NEAR(StudentQuantile975(3), 3.182446, 1e-6);
  EXPECT_NEAR(StudentQuantile975(4), 2.776445, 1e-6);
  EXPECT_NEAR(StudentQuantile975(9), 2.262157, 1e-6);
  EXPECT_NEAR(StudentQuantile975(30), 2.042272, 1e-6);
  EXPECT_NEAR(StudentQuantile975(99), 1.984217, 1e-6);
}

TEST(IntervalTest, IsStudents) {
  // 1, 2, 3: s = 1, t_2 / sqrt(3).
  const MeanInterval interval = MeanOf({1, 2, 3});
  EXPECT_DOUBLE_EQ(interval.mean, 2);
  EXPECT_NEAR(interval.high - 2, 4.302653 / std::sqrt(3.0), 1e-6);
  EXPECT_NEAR(interval.low, 4 - interval.high, 1e-12);
}

TEST(IntervalTest, OneValueHasNone) {
  const MeanInterval interval = MeanOf({7});
  EXPECT_EQ(interval.mean, 7);
  EXPECT_EQ(interval.low, 0);
  EXPECT_EQ(interval.high, 0);
}

}  // namespace
}  // namespace retort::eval
