#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <string>

#include "core/io/png.h"
#include "tests/support/status_matchers.h"

namespace retort::io {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

std::string BigEndian4(uint32_t value) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) {
    text += static_cast<char>(value >> shift);
  }
  return text;
}

std::string Chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const auto crc =
      crc32_z(0, reinterpret_cast<const Bytef*>(body.data()), body.size());
  return BigEndian4(data.size()) + body + BigEndian4(crc);
}

// A PNG file of 2 x `rows.size()` pixels with the given header fields; each row
// as it lies in the file. `more` are chunks before the pixels.
std::string RawPng(int depth, int color, const std::vector<std::string>& rows,
                   const std::string& more = "", uint32_t width = 2) {
  std::string raw;
  for (const std::string& row : rows) raw += '\0' + row;
  std::string packed(compressBound(raw.size()), '\0');
  uLongf bytes = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &bytes,
           reinterpret_cast<const Bytef*>(raw.data()), raw.size());
  packed.resize(bytes);
  return "\x89PNG\r\n\x1a\n" +
         Chunk("IHDR", BigEndian4(width) + BigEndian4(rows.size()) +
                           static_cast<char>(depth) + static_cast<char>(color) +
                           std::string(3, '\0')) +
         more + Chunk("IDAT", packed) + Chunk("IEND", "");
}

at::Tensor Decoded(const std::string& file) {
  auto image = DecodePng(file);
  EXPECT_THAT(image, retort::testing::IsOk());
  return image.ok() ? *image : at::Tensor();
}

TEST(PngDecodeTest, GivesBackWhatWasEncoded) {
  for (const int64_t channels : {1, 3}) {
    const at::Tensor image = at::arange(5 * 7 * channels, at::kLong)
                                 .mul(7)
                                 .remainder(256)
                                 .to(at::kByte)
                                 .view({5, 7, channels});
    EXPECT_TRUE(Decoded(*EncodePng(image)).equal(image));
  }
}

TEST(PngDecodeTest, LooksUpPalettesAndWidensFewBits) {
  const std::string palette = Chunk("PLTE", {1, 2, 3, 40, 50, 60});
  EXPECT_TRUE(Decoded(RawPng(8, 3, {{0, 1}}, palette))
                  .flatten()
                  .equal(at::tensor({1, 2, 3, 40, 50, 60}).to(at::kByte)));
  EXPECT_TRUE(Decoded(RawPng(1, 0, {"\x40"}))
                  .flatten()
                  .equal(at::tensor({0, 255}).to(at::kByte)));
}

TEST(PngDecodeTest, IgnoresGamma) {
  const std::string gamma = Chunk("gAMA", BigEndian4(100000));
  EXPECT_TRUE(Decoded(RawPng(8, 0, {{10, 100}}, gamma))
                  .flatten()
                  .equal(at::tensor({10, 100}).to(at::kByte)));
}

TEST(PngDecodeTest, RefusesWhatWouldLoseSomething) {
  const auto kBad = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(DecodePng(RawPng(16, 0, {"abcd"})),
              StatusIs(kBad, HasSubstr("16 bits")));
  EXPECT_THAT(DecodePng(RawPng(8, 4, {"abcd"})),
              StatusIs(kBad, HasSubstr("alpha")));
  EXPECT_THAT(DecodePng(RawPng(8, 6, {"abcdefgh"})),
              StatusIs(kBad, HasSubstr("alpha")));
}

TEST(PngDecodeTest, RefusesAHugeImageBeforeItIsAllocated) {
  EXPECT_THAT(DecodePng(RawPng(8, 0, {"ab"}, "", 1u << 30)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("not a usable PNG")));
}

TEST(PngDecodeTest, RefusesAFileCutOffAnywhere) {
  const std::string whole = *EncodePng(at::ones({6, 6, 3}, at::kByte));
  for (size_t bytes = 0; bytes < whole.size() - 12; ++bytes) {
    EXPECT_THAT(DecodePng(whole.substr(0, bytes)),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << bytes;
  }
}

TEST(PngDecodeTest, AnyByteChangedIsAnErrorOrAnImage) {
  const std::string whole = *EncodePng(at::ones({6, 6, 3}, at::kByte));
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string file = whole;
    file[at] ^= 0x55;
    const auto image = DecodePng(file);
    if (!image.ok()) {
      EXPECT_THAT(image, StatusIs(absl::StatusCode::kInvalidArgument));
    } else {
      EXPECT_EQ(image->dim(), 3) << at;
    }
  }
}

}  // namespace
}  // namespace retort::io
