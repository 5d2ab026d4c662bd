#include "core/analytic/pchip.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/status_matchers.h"

namespace retort::analytic {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

Pchip Make(std::vector<double> x, std::vector<double> y) {
  return Pchip::Create(std::move(x), std::move(y)).value();
}

TEST(PchipTest, PassesThroughItsKnots) {
  const Pchip curve = Make({0, 1, 2.5, 4}, {1, -2, 3, 3.5});
  for (size_t k = 0; k < 4; ++k) {
    EXPECT_DOUBLE_EQ(curve.Value(curve.x()[k]), curve.y()[k]);
  }
}

TEST(PchipTest, IsALineThroughTwoKnotsAndThroughKnotsOnALine) {
  EXPECT_DOUBLE_EQ(Make({0, 2}, {1, 5}).Value(0.5), 2.0);
  EXPECT_DOUBLE_EQ(Make({0, 1, 3, 4}, {1, 3, 7, 9}).Value(2.2), 5.4);
}

// Worked out by hand from the rule that the header states.
TEST(PchipTest, UsesHarmonicMeanSlopesAndOneSidedEnds) {
  const Pchip curve = Make({0, 1, 2}, {0, 1, 1.6});
  // d0 = (3*1 - 0.6)/2 = 1.2, d1 = 6/(3/1 + 3/0.6) = 0.75.
  // Hermite at 0.5: (0 + 1)/2 + (1.2 - 0.75)/8.
  EXPECT_NEAR(curve.Value(0.5), 0.55625, 1e-15);
}

// Noise about a constant: curvature changes sign at every knot.
TEST(PchipTest, NeverOvershootsNoise) {
  const Pchip curve = Make({0, 1, 2, 3, 4, 5, 6}, {0, 1, 0, 1, 0.1, 0.9, 0});
  for (double x = 0; x <= 6; x += 0.01) {
    EXPECT_GE(curve.Value(x), 0.0) << x;
    EXPECT_LE(curve.Value(x), 1.0) << x;
  }
}

// Through a smooth minimum between knots, where PCHIP's slopes would be zero.
TEST(PchipTest, IsFourthOrderAccurateThroughASmoothMinimum) {
  double error[2] = {0, 0};
  for (int fine : {0, 1}) {
    std::vector<double> x, y;
    const double h = 0.1 / (1 + fine);
    for (double at = -1.03; at < 1; at += h) {
      x.push_back(at);
      y.push_back(std::cosh(at));
    }
    const Pchip curve = Make(x, y);
    for (double at = -0.7; at < 0.7; at += 0.003) {
      error[fine] =
          std::max(error[fine], std::abs(curve.Value(at) - std::cosh(at)));
    }
  }
  EXPECT_LT(error[0], 1e-6);
  EXPECT_GT(error[0] / error[1], 12);
}

// Convex data with a corner: the slope stays between the secants.
TEST(PchipTest, KeepsAConvexSequenceBetweenItsSecants) {
  const Pchip curve = Make({0, 1, 2, 3, 4, 5}, {5, 3, 1.5, 1, 3, 7});
  // The lines through the neighbouring knots bound it from below.
  for (double x = 2; x < 3; x += 0.01) {
    EXPECT_GE(curve.Value(x), 1.5 - 1.5 * (x - 2)) << x;
    EXPECT_GE(curve.Value(x), 1 - 2 * (3 - x)) << x;
    EXPECT_LE(curve.Value(x), 1.5) << x;
  }
}

TEST(PchipTest, IntegralIsExactForTheCubic) {
  const Pchip curve = Make({0, 1, 2.5, 4}, {1, -2, 3, 3.5});
  // Simpson's rule is exact for a cubic within one interval.
  const auto simpson = [&](double a, double b) {
    return (b - a) / 6 *
           (curve.Value(a) + 4 * curve.Value((a + b) / 2) + curve.Value(b));
  };
  EXPECT_NEAR(curve.Integral(0.7), simpson(0, 0.7), 1e-14);
  EXPECT_NEAR(curve.Integral(3.1),
              simpson(0, 1) + simpson(1, 2.5) + simpson(2.5, 3.1), 1e-13);
  EXPECT_NEAR(curve.Integral(4), curve.knot_integrals().back(), 1e-14);
}

TEST(PchipTest, RefusesUnusableKnots) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Pchip::Create({0}, {1}).status(), StatusIs(invalid));
  EXPECT_THAT(Pchip::Create({0, 0}, {1, 2}).status(),
              StatusIs(invalid, HasSubstr("increase")));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(Pchip::Create({0, 1}, {1, nan}).status(),
              StatusIs(invalid, HasSubstr("knot 1")));
}

}  // namespace
}  // namespace retort::analytic
