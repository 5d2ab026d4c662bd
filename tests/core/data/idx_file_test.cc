#include "core/data/idx_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/core/data/idx_builder.h"
#include "tests/support/status_matchers.h"

namespace retort::data {
namespace {

using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kDamaged = absl::StatusCode::kDataLoss;

TEST(IdxFileTest, ParsesPlainAndCompressedFilesAlike) {
  const std::string plain = IdxBytes({2, 3}, "abcdef");
  for (const std::string& file : {plain, Gzip(plain)}) {
    RETORT_ASSERT_OK_AND_ASSIGN(const IdxArray array, ParseIdx(file, 2, "f"));
    EXPECT_THAT(array.shape, ElementsAre(2, 3));
    EXPECT_EQ(array.bytes, "abcdef");
  }
}

TEST(IdxFileTest, RefusesAnotherMagicNumber) {
  std::string file = IdxBytes({1}, "a");
  file[2] = 0x0d;  // floats
  EXPECT_THAT(
      ParseIdx(file, 1, "dir/f"),
      StatusIs(kDamaged, AllOf(HasSubstr("dir/f"), HasSubstr("at offset 0"),
                               HasSubstr("expected the IDX magic "
                                         "0x00000801"),
                               HasSubstr("found 0x00000d01"))));
}

TEST(IdxFileTest, RefusesAnotherNumberOfDimensions) {
  EXPECT_THAT(ParseIdx(IdxBytes({1, 1}, "a"), 3, "f"), StatusIs(kDamaged));
}

TEST(IdxFileTest, RefusesEveryTruncation) {
  const std::string plain = IdxBytes({2, 3}, "abcdef");
  for (const std::string& file : {plain, Gzip(plain)}) {
    for (size_t size = 0; size < file.size(); ++size) {
      EXPECT_THAT(ParseIdx(file.substr(0, size), 2, "f"), StatusIs(kDamaged))
          << size;
    }
  }
}

TEST(IdxFileTest, SaysWhereTheDataEnds) {
  const std::string plain = IdxBytes({2, 3}, "abcd");
  EXPECT_THAT(ParseIdx(plain, 2, "f"),
              StatusIs(kDamaged, HasSubstr("ends at offset 16, expected 18")));
  EXPECT_THAT(ParseIdx(Gzip(plain), 2, "f"),
              StatusIs(kDamaged, HasSubstr("ends at offset 16, expected 18")));
}

TEST(IdxFileTest, RefusesBytesBeyondTheArray) {
  const std::string plain = IdxBytes({2}, "abc");
  EXPECT_THAT(ParseIdx(plain, 1, "f"),
              StatusIs(kDamaged, HasSubstr("goes on at offset 10")));
  EXPECT_THAT(ParseIdx(Gzip(plain), 1, "f"),
              StatusIs(kDamaged, HasSubstr("goes on at offset 10")));
}

TEST(IdxFileTest, RefusesAnArrayThatItsFileCannotHold) {
  EXPECT_THAT(
      ParseIdx(IdxBytes({0x7fffffff, 0x7fffffff, 0x7fffffff}, ""), 3, "f"),
      StatusIs(kDamaged, HasSubstr("above the limit")));
  EXPECT_THAT(ParseIdx(Gzip(IdxBytes({1 << 29}, "")), 1, "f"),
              StatusIs(kDamaged, HasSubstr("cannot hold")));
}

TEST(IdxFileTest, NoticesFlippedBitsOfACompressedFile) {
  const std::string file = Gzip(IdxBytes({64}, std::string(64, 'x')));
  for (size_t i = 10; i < file.size(); ++i) {  // past gzip's own header
    std::string damaged = file;
    damaged[i] ^= 0x40;
    const auto parsed = ParseIdx(damaged, 1, "f");
    // A bit of the padding behind the last block carries nothing.
    if (parsed.ok() && parsed->bytes == std::string(64, 'x')) continue;
    EXPECT_THAT(parsed, StatusIs(kDamaged)) << i;
  }
}

}  // namespace
}  // namespace retort::data
