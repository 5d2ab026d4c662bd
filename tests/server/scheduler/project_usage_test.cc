#include "server/scheduler/project_usage.h"

#include <gtest/gtest.h>

namespace retort::scheduler {
namespace {

absl::Time At(const std::string& time) {
  absl::Time result;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, time, &result, &error))
      << error;
  return result;
}

TEST(ProjectUsageTest, CountsGpuHoursOfTheCalendarMonthInUtc) {
  ProjectUsage usage(absl::Hours(24), {0, 5, At("2026-01-31T22:00:00Z")});
  usage.Advance(At("2026-01-31T23:00:00Z"), 2, 2);
  EXPECT_DOUBLE_EQ(usage.record().gpu_hours, 7);
  // An hour of January is over with it; two of February count.
  usage.Advance(At("2026-02-01T02:00:00Z"), 2, 2);
  EXPECT_DOUBLE_EQ(usage.record().gpu_hours, 4);
  EXPECT_EQ(NextMonth(At("2026-12-03T00:00:00Z")), At("2027-01-01T00:00:00Z"));
}

TEST(ProjectUsageTest, AShareCountsCpuSlotsAndForgetsByHalves) {
  const absl::Time start = At("2026-03-01T00:00:00Z");
  ProjectUsage usage(absl::Hours(24), {100, 0, start});
  usage.Advance(start + absl::Hours(24), 0, 0);
  EXPECT_NEAR(usage.record().fair, 50, 1e-9);
  usage.Advance(start + absl::Hours(24) + absl::Seconds(1), 0.5, 0);
  EXPECT_NEAR(usage.record().fair, 50.5, 1e-3);
  EXPECT_EQ(usage.record().gpu_hours, 0);
}

TEST(ProjectUsageTest, GoesOnFromWhatWasStored) {
  const absl::Time start = At("2026-03-01T00:00:00Z");
  ProjectUsage whole(absl::Hours(24), {0, 0, start});
  whole.Advance(start + absl::Hours(1), 4, 4);
  ProjectUsage rest(absl::Hours(24), whole.record());
  whole.Advance(start + absl::Hours(2), 4, 4);
  rest.Advance(start + absl::Hours(2), 4, 4);
  EXPECT_DOUBLE_EQ(rest.record().fair, whole.record().fair);
  EXPECT_DOUBLE_EQ(rest.record().gpu_hours, 8);
  // A clock that goes back changes nothing.
  rest.Advance(start, 4, 4);
  EXPECT_DOUBLE_EQ(rest.record().gpu_hours, 8);
}

}  // namespace
}  // namespace retort::scheduler
