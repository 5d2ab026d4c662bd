#include "core/io/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <limits>
#include <string>

#include "tests/support/status_matchers.h"

namespace retort::io {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

at::Tensor Decode(const std::string& file, int format, int64_t channels) {
  png_image info = {};
  info.version = PNG_IMAGE_VERSION;
  EXPECT_TRUE(png_image_begin_read_from_memory(&info, file.data(), file.size()))
      << info.message;
  info.format = format;
  at::Tensor image = at::empty({info.height, info.width, channels}, at::kByte);
  EXPECT_TRUE(
      png_image_finish_read(&info, nullptr, image.data_ptr(), 0, nullptr))
      << info.message;
  return image;
}

at::Tensor Pattern(at::IntArrayRef sizes) {
  return at::arange(c10::multiply_integers(sizes), at::kLong)
      .mul(7)
      .remainder(256)
      .to(at::kByte)
      .view(sizes);
}

TEST(PngTest, EncodesGreyAndColourLosslessly) {
  const at::Tensor grey = Pattern({5, 7});
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string grey_file, EncodePng(grey));
  EXPECT_TRUE(
      at::equal(Decode(grey_file, PNG_FORMAT_GRAY, 1).squeeze(2), grey));
  const at::Tensor colour = Pattern({4, 3, 3});
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string colour_file, EncodePng(colour));
  EXPECT_TRUE(at::equal(Decode(colour_file, PNG_FORMAT_RGB, 3), colour));
}

TEST(PngTest, EncodesStridedImages) {
  const at::Tensor image = Pattern({3, 4, 5}).permute({1, 2, 0});
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string file, EncodePng(image));
  EXPECT_TRUE(at::equal(Decode(file, PNG_FORMAT_RGB, 3), image));
}

TEST(PngTest, RefusesWhatIsNoImage) {
  const auto kBadImage = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(EncodePng(at::zeros({2, 2})),
              StatusIs(kBadImage, HasSubstr("not Float [2,2]")));
  EXPECT_THAT(EncodePng(at::zeros({2, 2, 2}, at::kByte)), StatusIs(kBadImage));
  EXPECT_THAT(EncodePng(at::zeros({0, 2}, at::kByte)), StatusIs(kBadImage));
  EXPECT_THAT(EncodePng(at::Tensor()),
              StatusIs(kBadImage, HasSubstr("undefined")));
}

TEST(ToUint8Test, ScalesClipsAndCutsOffTheFraction) {
  const float inf = std::numeric_limits<float>::infinity();
  const at::Tensor x = at::tensor({-2.f, -1.f, 0.f, 0.0078f, 1.f, 9.f, inf});
  EXPECT_TRUE(at::equal(
      ToUint8(x), at::tensor({0, 0, 128, 128, 255, 255, 255}).to(at::kByte)));
}

TEST(ToUint8Test, TurnsNanIntoBlack) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(ToUint8(at::tensor({nan})).item<uint8_t>(), 0);
}

TEST(ToUint8Test, ReturnsEveryByteThatBecameAFloat) {
  const at::Tensor bytes = at::arange(256).to(at::kByte);
  EXPECT_TRUE(at::equal(ToUint8(bytes.to(at::kFloat) / 127.5 - 1), bytes));
}

}  // namespace
}  // namespace retort::io
