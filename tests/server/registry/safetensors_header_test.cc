#include "server/registry/safetensors_header.h"

#include <gtest/gtest.h>

#include "core/base/file.h"
#include "server/base/error.h"
#include "tests/support/model_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::registry {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(SafetensorsHeaderTest, ReadsTensorsInTheOrderOfTheirBytes) {
  RETORT_ASSERT_OK_AND_ASSIGN(const auto entries,
                              ParseTensorEntries(
                                  R"({"__metadata__":{"format":"pt"},
              "b":{"dtype":"F16","shape":[],"data_offsets":[0,2]},
              "a":{"dtype":"F32","shape":[3],"data_offsets":[2,14]}})",
                                  14));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "b");
  EXPECT_EQ(entries[1].Elements(), 3);
  EXPECT_EQ(CountParameters(entries), 4);
}

TEST(SafetensorsHeaderTest, CountsNoConstantsAsParameters) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const auto entries,
      ParseTensorEntries(
          R"({"x.resample_filter":{"dtype":"F32","shape":[4],
                                   "data_offsets":[0,16]},
              "x.weight":{"dtype":"F32","shape":[2],"data_offsets":[16,24]}})",
          24));
  EXPECT_EQ(CountParameters(entries), 2);
}

TEST(SafetensorsHeaderTest, RefusesBytesThatOverlapOrAreMissing) {
  const auto parse = [](const char* second, int64_t bytes) {
    return ParseTensorEntries(
        std::string(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                    R"("b":{"dtype":"U8","shape":[4],"data_offsets":)") +
            second + "}}",
        bytes);
  };
  EXPECT_THAT(parse("[4,8]", 8), testing::IsOk());
  EXPECT_THAT(parse("[2,6]", 6), StatusIs(kInvalid, HasSubstr("overlaps")));
  EXPECT_THAT(parse("[6,10]", 10), StatusIs(kInvalid, HasSubstr("gap")));
  EXPECT_THAT(parse("[4,8]", 7), StatusIs(kInvalid, HasSubstr("has 7")));
  EXPECT_THAT(parse("[8,4]", 8), StatusIs(kInvalid, HasSubstr("ascending")));
}

TEST(SafetensorsHeaderTest, RefusesShapesThatDoNotFitTheirBytes) {
  const auto parse = [](const char* shape) {
    return ParseTensorEntries(std::string(R"({"a":{"dtype":"F32","shape":)") +
                                  shape + R"(,"data_offsets":[0,8]}})",
                              8);
  };
  EXPECT_THAT(parse("[2]"), testing::IsOk());
  EXPECT_THAT(parse("[3]"), StatusIs(kInvalid, HasSubstr("needs 12")));
  EXPECT_THAT(parse("[-2]"), StatusIs(kInvalid, HasSubstr("dimension")));
  EXPECT_THAT(parse("[4611686018427387904,4611686018427387904]"),
              StatusIs(kInvalid, HasSubstr("64-bit")));
  EXPECT_THAT(parse("[0,4611686018427387904,4]"),
              StatusIs(kInvalid, HasSubstr("64-bit")));
}

TEST(SafetensorsHeaderTest, RefusesWhatIsNoHeader) {
  for (const char* text :
       {"", "[]", "{", R"({"a":1})", "{}", R"({"a":{"b":{"c":{"d":{}}}}})",
        R"({"a":{"dtype":"X9","shape":[1],"data_offsets":[0,4]}})",
        "{\"a\xff\":{}}"}) {
    const auto entries = ParseTensorEntries(text, 4);
    EXPECT_THAT(entries, StatusIs(kInvalid)) << text;
    EXPECT_EQ(service::ReasonOf(entries.status()),
              v1::ERROR_REASON_FILE_INVALID);
  }
}

TEST(SafetensorsHeaderTest, RefusesAFileThatIsShorterThanItsHeader) {
  testing::TempDir dir;
  const auto read = [&](const std::string& bytes) {
    RETORT_CHECK_OK(base::AtomicWriteFile(dir / "f", bytes));
    return ReadTensorEntries(dir / "f");
  };
  const std::string whole = testing::SmallWeights();
  EXPECT_THAT(read(whole), testing::IsOk());
  EXPECT_THAT(read(whole.substr(0, 5)), StatusIs(kInvalid));
  EXPECT_THAT(read(whole.substr(0, 20)), StatusIs(kInvalid));
  EXPECT_THAT(read(whole.substr(0, whole.size() - 1)), StatusIs(kInvalid));
  EXPECT_THAT(read(std::string(8, '\xff') + "{}"), StatusIs(kInvalid));
}

}  // namespace
}  // namespace retort::registry
