#include "core/math/noise_schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace retort::math {
namespace {

TEST(NoiseScheduleTest, TheGridFallsFromMaximumToMinimumExactly) {
  const NoiseSchedule schedule;
  const std::vector<double> grid = TimeGrid(schedule, 18);
  ASSERT_EQ(grid.size(), 18u);
  EXPECT_EQ(grid.front(), 80.0);
  EXPECT_EQ(grid.back(), 0.002);
  for (size_t i = 1; i < grid.size(); ++i) EXPECT_LT(grid[i], grid[i - 1]);
}

TEST(NoiseScheduleTest, RootsOfTheTimesAreEquallySpaced) {
  NoiseSchedule schedule;
  schedule.rho = 3;
  const std::vector<double> grid = TimeGrid(schedule, 5);
  const double step = std::cbrt(grid[1]) - std::cbrt(grid[0]);
  for (int i = 1; i < 4; ++i) {
    EXPECT_NEAR(std::cbrt(grid[i + 1]) - std::cbrt(grid[i]), step, 1e-12);
  }
  EXPECT_DOUBLE_EQ(TimeAt(schedule, 0.25), grid[1]);
}

TEST(NoiseScheduleTest, SaysWhichFieldIsWrong) {
  NoiseSchedule schedule;
  EXPECT_TRUE(schedule.Validate().ok());
  schedule.sigma_min = 90;
  EXPECT_NE(schedule.Validate().message().find("sigma_min 90"),
            absl::string_view::npos);
  schedule = NoiseSchedule();
  schedule.rho = NAN;
  EXPECT_NE(schedule.Validate().message().find("rho"), absl::string_view::npos);
}

TEST(NoiseScheduleTest, JsonRoundTripKeepsEveryField) {
  const NoiseSchedule schedule{0.01, 50, 5, 0.6};
  const auto back = nlohmann::json(schedule).get<NoiseSchedule>();
  EXPECT_EQ(back.sigma_min, 0.01);
  EXPECT_EQ(back.sigma_max, 50);
  EXPECT_EQ(back.rho, 5);
  EXPECT_EQ(back.sigma_data, 0.6);
}

}  // namespace
}  // namespace retort::math
