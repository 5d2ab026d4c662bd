#include "core/analytic/heat_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace retort::analytic {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kRed[] = "#a51e28", kBlue[] = "#1446a0", kPale[] = "#f4f2ec";
constexpr char kDark[] = "#2d1e5a", kLight[] = "#fae65a", kGrey[] = "#bbbbbb";

// Three jumps of the times 4, 2, 1: 4 -> 2, 4 -> 1, 2 -> 1.
HeatRow Row(std::vector<double> values, bool ratio) {
  at::Tensor map = at::zeros({3, 3}, at::kDouble);
  map[0][1] = values[0];
  map[0][2] = values[1];
  map[1][2] = values[2];
  return {"a row", {4, 2, 1}, {{"a map", "a note", map, ratio}}};
}

// How many cells of the map (not of its scale) have this colour.
int Cells(const std::string& svg, const std::string& colour) {
  int count = 0;
  for (const auto part : absl::StrSplit(svg, '<')) {
    count += absl::StrContains(part, "width=\"52.3\"") &&
             absl::StrContains(part, colour);
  }
  return count;
}

TEST(HeatMapTest, RatiosAreBlueBelowOneAndRedAbove) {
  const std::string svg = RenderHeatRow(Row({0.5, 1, 2}, true), 0);
  EXPECT_EQ(Cells(svg, kBlue), 1);
  EXPECT_EQ(Cells(svg, kPale), 1);
  EXPECT_EQ(Cells(svg, kRed), 1);
}

TEST(HeatMapTest, RatiosBeyondTheScaleTakeItsEnds) {
  const std::string svg = RenderHeatRow(Row({0.01, 1, 100}, true), 0);
  EXPECT_EQ(Cells(svg, kBlue), 1);
  EXPECT_EQ(Cells(svg, kRed), 1);
}

TEST(HeatMapTest, SizesSpanTheMapsOwnRange) {
  const std::string svg = RenderHeatRow(Row({1e-4, 1e-3, 1e-2}, false), 0);
  EXPECT_EQ(Cells(svg, kDark), 1);
  EXPECT_EQ(Cells(svg, kLight), 1);
  EXPECT_THAT(svg, HasSubstr("0.0001"));
  EXPECT_THAT(svg, HasSubstr("0.01"));
}

TEST(HeatMapTest, WhatIsNoNumberIsGrey) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const std::string svg = RenderHeatRow(Row({nan, inf, 1}, false), 0);
  EXPECT_EQ(Cells(svg, kGrey), 2);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(HeatMapTest, NamesRowMapAndTimes) {
  const std::string svg = RenderHeatRow(Row({1, 2, 3}, false), 0);
  for (const char* part : {"a row", "a map", "a note", ">4<", ">2<", ">1<"}) {
    EXPECT_THAT(svg, HasSubstr(part));
  }
}

}  // namespace
}  // namespace retort::analytic
