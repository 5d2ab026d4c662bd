#include "client/image_grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace retort::client {
namespace {

using ::retort::testing::StatusIs;

Image Grey(int64_t side, char value) {
  return {side, side, 1, std::string(side * side, value)};
}

TEST(ImageGridTest, LaysImagesOutInTheSmallestSquare) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const Image grid,
      MakeGrid({Grey(2, 'a'), Grey(2, 'b'), Grey(2, 'c')}, 0, 1, 1));
  EXPECT_EQ(grid.width, 7);
  EXPECT_EQ(grid.height, 7);
  EXPECT_EQ(grid.pixels.substr(7, 7),
            "\xff"
            "aa"
            "\xff"
            "bb"
            "\xff");
  EXPECT_EQ(grid.pixels.substr(28, 7),
            "\xff"
            "cc"
            "\xff\xff\xff\xff");
}

TEST(ImageGridTest, DrawsPixelsLargerWhenAsked) {
  RETORT_ASSERT_OK_AND_ASSIGN(const Image grid,
                              MakeGrid({Grey(1, 'a')}, 1, 3, 0));
  EXPECT_EQ(grid.width, 3);
  EXPECT_EQ(grid.pixels, std::string(9, 'a'));
}

TEST(ImageGridTest, KeepsColours) {
  RETORT_ASSERT_OK_AND_ASSIGN(const Image grid,
                              MakeGrid({{1, 1, 3, "rgb"}}, 1, 1, 0));
  EXPECT_EQ(grid.pixels, "rgb");
}

TEST(ImageGridTest, RefusesImagesOfDifferentSizes) {
  EXPECT_THAT(MakeGrid({Grey(2, 'a'), Grey(3, 'b')}, 0, 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(MakeGrid({{4, 4, 1, "short"}}, 0, 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ImageGridTest, EncodesAPng) {
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string png, EncodePng(Grey(4, 'x')));
  EXPECT_EQ(png.substr(1, 3), "PNG");
}

}  // namespace
}  // namespace retort::client
