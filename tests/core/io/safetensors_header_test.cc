#include "core/io/safetensors_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/support/status_matchers.h"

// Every header here could come from an attacker; none may crash, allocate
// without bound or be taken for something else.
namespace retort::io {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kBadHeader = absl::StatusCode::kInvalidArgument;

// A header with one tensor "x"; single quotes stand for double ones.
std::string OneTensor(absl::string_view dtype, absl::string_view shape,
                      absl::string_view offsets) {
  return absl::StrReplaceAll(
      absl::StrCat("{'x':{'dtype':'", dtype, "','shape':", shape,
                   ",'data_offsets':", offsets, "}}"),
      {{"'", "\""}});
}

std::string Quoted(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"'", "\""}});
}

TEST(SafetensorsHeaderTest, ParsesAnEntry) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const SafetensorsHeader header,
      ParseSafetensorsHeader(OneTensor("F16", "[2,3]", "[0,12]"), 12));
  ASSERT_EQ(header.entries.size(), 1u);
  EXPECT_EQ(header.entries[0].name, "x");
  EXPECT_EQ(header.entries[0].dtype->type, at::kHalf);
  EXPECT_THAT(header.entries[0].shape, ::testing::ElementsAre(2, 3));
}

TEST(SafetensorsHeaderTest, ParsesNoTensorsAtAll) {
  EXPECT_THAT(ParseSafetensorsHeader("{}", 0), IsOk());
}

TEST(SafetensorsHeaderTest, RefusesWhatIsNotAnObject) {
  for (const char* json : {"", "[]", "1", "{", "{}}", "\xff", "{\"a\":1,}"}) {
    EXPECT_THAT(ParseSafetensorsHeader(json, 0), StatusIs(kBadHeader)) << json;
  }
}

TEST(SafetensorsHeaderTest, RefusesDeepNestingWithoutRecursing) {
  EXPECT_THAT(ParseSafetensorsHeader(std::string(1 << 20, '['), 0),
              StatusIs(kBadHeader, HasSubstr("nests too deep")));
  EXPECT_THAT(ParseSafetensorsHeader(OneTensor("F32", "[[1]]", "[0,4]"), 4),
              StatusIs(kBadHeader, HasSubstr("nests too deep")));
}

TEST(SafetensorsHeaderTest, RefusesDuplicateTensorNames) {
  const std::string entry =
      Quoted("'x':{'dtype':'U8','shape':[1],'data_offsets':[0,1]}");
  EXPECT_THAT(ParseSafetensorsHeader("{" + entry + "," + entry + "}", 1),
              StatusIs(kBadHeader, HasSubstr("'x' occurs twice")));
}

TEST(SafetensorsHeaderTest, RefusesDuplicateFieldsOfATensor) {
  const std::string json = Quoted(
      "{'x':{'dtype':'U8','shape':[1],'shape':[1],'data_offsets':[0,1]}}");
  EXPECT_THAT(ParseSafetensorsHeader(json, 1),
              StatusIs(kBadHeader, HasSubstr("'shape' occurs twice")));
}

TEST(SafetensorsHeaderTest, RefusesUnknownAndMissingFields) {
  for (const char* entry :
       {"{}", "{'dtype':'U8','shape':[1]}", "[]", "3",
        "{'dtype':'U8','shape':[1],'data_offsets':[0,1],'more':0}"}) {
    EXPECT_THAT(
        ParseSafetensorsHeader(Quoted(absl::StrCat("{'x':", entry, "}")), 1),
        StatusIs(kBadHeader, HasSubstr("tensor 'x'")))
        << entry;
  }
}

TEST(SafetensorsHeaderTest, NamesAnUnsupportedDtypeAndTheSupportedOnes) {
  EXPECT_THAT(ParseSafetensorsHeader(OneTensor("F8_E4M3", "[1]", "[0,1]"), 1),
              StatusIs(kBadHeader, HasSubstr("'x' has dtype 'F8_E4M3'; convert "
                                             "it to one of I64 F64 F32")));
}

TEST(SafetensorsHeaderTest, RefusesShapesThatAreNotSizes) {
  for (const char* shape :
       {"[-1]", "[1.5]", "['1']", "[null]", "{}", "1", "[18446744073709551615]",
        "[1e3]", "[99999999999999999999]"}) {
    EXPECT_THAT(ParseSafetensorsHeader(OneTensor("U8", shape, "[0,1]"), 1),
                StatusIs(kBadHeader))
        << shape;
  }
}

TEST(SafetensorsHeaderTest, RefusesShapesWhoseProductOverflows) {
  for (const char* shape :
       {"[4294967296,4294967296]", "[9223372036854775807,9223372036854775807]",
        "[0,4294967296,4294967296]", "[2305843009213693952,4]"}) {
    EXPECT_THAT(ParseSafetensorsHeader(OneTensor("F64", shape, "[0,0]"), 0),
                StatusIs(kBadHeader, HasSubstr("beyond 64-bit sizes")))
        << shape;
  }
}

TEST(SafetensorsHeaderTest, RefusesTooManyDimensions) {
  std::string shape = "[1";
  for (int i = 0; i < 100; ++i) shape += ",1";
  EXPECT_THAT(ParseSafetensorsHeader(OneTensor("U8", shape + "]", "[0,1]"), 1),
              StatusIs(kBadHeader, HasSubstr("short array")));
}

TEST(SafetensorsHeaderTest, RefusesOffsetsThatAreNotAnAscendingPair) {
  for (const char* offsets : {"[1,0]", "[0]", "[0,1,2]", "[-1,0]", "[0,1.0]",
                              "0", "[0,18446744073709551615]"}) {
    EXPECT_THAT(ParseSafetensorsHeader(OneTensor("U8", "[1]", offsets), 1),
                StatusIs(kBadHeader))
        << offsets;
  }
}

TEST(SafetensorsHeaderTest, RefusesAByteCountThatDoesNotFitTheShape) {
  EXPECT_THAT(ParseSafetensorsHeader(OneTensor("F32", "[2]", "[0,4]"), 4),
              StatusIs(kBadHeader, HasSubstr("needs 8 bytes by its shape but "
                                             "has 4 by its offsets")));
}

TEST(SafetensorsHeaderTest, RefusesDataBeyondTheFile) {
  EXPECT_THAT(ParseSafetensorsHeader(OneTensor("U8", "[9]", "[0,9]"), 8),
              StatusIs(kBadHeader, HasSubstr("truncated")));
}

TEST(SafetensorsHeaderTest, RefusesDataThatNoTensorOwns) {
  EXPECT_THAT(ParseSafetensorsHeader(OneTensor("U8", "[8]", "[0,8]"), 9),
              StatusIs(kBadHeader, HasSubstr("the file has 9")));
  EXPECT_THAT(ParseSafetensorsHeader(OneTensor("U8", "[8]", "[1,9]"), 9),
              StatusIs(kBadHeader, HasSubstr("leave a gap")));
}

TEST(SafetensorsHeaderTest, RefusesOverlap) {
  const std::string json = Quoted(
      "{'a':{'dtype':'U8','shape':[4],'data_offsets':[0,4]},"
      "'b':{'dtype':'U8','shape':[4],'data_offsets':[3,7]}}");
  EXPECT_THAT(ParseSafetensorsHeader(json, 7),
              StatusIs(kBadHeader, HasSubstr("overlap")));
}

TEST(SafetensorsHeaderTest, RefusesTwoTensorsInTheSameBytes) {
  const std::string json = Quoted(
      "{'a':{'dtype':'U8','shape':[4],'data_offsets':[0,4]},"
      "'b':{'dtype':'U8','shape':[4],'data_offsets':[0,4]}}");
  EXPECT_THAT(ParseSafetensorsHeader(json, 4),
              StatusIs(kBadHeader, HasSubstr("overlap")));
}

TEST(SafetensorsHeaderTest, RefusesMetadataThatIsNotText) {
  for (const char* metadata : {"[]", "1", "{'a':1}", "{'a':{}}"}) {
    EXPECT_THAT(ParseSafetensorsHeader(
                    Quoted(absl::StrCat("{'__metadata__':", metadata, "}")), 0),
                StatusIs(kBadHeader))
        << metadata;
  }
}

TEST(SafetensorsHeaderTest, PadsTheHeaderSoThatDataIsAligned) {
  SafetensorsHeader header;
  header.entries.push_back({"x", FindDtype("U8"), {1}, 0, 1});
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string prefix,
                              FormatSafetensorsHeader(header));
  EXPECT_EQ(prefix.size() % 8, 0u);
}

}  // namespace
}  // namespace retort::io
