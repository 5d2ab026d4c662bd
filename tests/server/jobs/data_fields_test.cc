#include "server/jobs/data_fields.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace retort::jobs {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr DataUse kTeacher = {true, 0};
constexpr DataUse kStudentOf64 = {false, 64};

v1::DataSpec ParseData(const std::string& text) {
  v1::DataSpec data;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &data));
  return data;
}

absl::Status ResolveText(const DataUse& use, const std::string& text) {
  v1::DataSpec data = ParseData(text);
  SpecProblems problems;
  ResolveData(use, "distill.data", &data, &problems);
  return problems.ToStatus();
}

int ResolvedSide(const DataUse& use, const std::string& text) {
  v1::DataSpec data = ParseData(text);
  SpecProblems problems;
  ResolveData(use, "distill.data", &data, &problems);
  EXPECT_THAT(problems.ToStatus(), IsOk());
  return data.resolution();
}

auto Refused(const std::string& field, const std::string& cause) {
  return StatusIs(
      absl::StatusCode::kInvalidArgument,
      AllOf(HasSubstr("job.spec.distill.data." + field), HasSubstr(cause)));
}

TEST(DataFieldsTest, ResolutionIsTheModelsWhereThereIsOne) {
  EXPECT_EQ(ResolvedSide(kTeacher, ""), 32);
  EXPECT_EQ(ResolvedSide({false, 16}, ""), 16);
  EXPECT_EQ(ResolvedSide({false, 0}, ""), 32);
  EXPECT_EQ(ResolvedSide(kStudentOf64, "dataset: DATASET_IMAGES path: '/a'"),
            64);
  EXPECT_THAT(ResolveText(kStudentOf64,
                          "dataset: DATASET_IMAGES path: '/a' resolution: 32"),
              Refused("resolution", "the model's is 64"));
  EXPECT_THAT(ResolveText(kStudentOf64, ""), Refused("resolution", "is 64"));
}

TEST(DataFieldsTest, GreyImagesAreNotForAModelOfColourImages) {
  const DataUse colour = {.model_channels = 3};
  EXPECT_THAT(ResolveText(colour, ""), Refused("dataset", "of 3 channels"));
  EXPECT_THAT(ResolveText(colour, "dataset: DATASET_IMAGES path: '/a'"),
              IsOk());
  EXPECT_THAT(ResolveText({.model_channels = 1}, ""), IsOk());
}

TEST(DataFieldsTest, ATeacherOfImagesMustSayPathAndResolution) {
  EXPECT_THAT(ResolveText(kTeacher, "dataset: DATASET_IMAGES path: '/a.zip'"),
              Refused("resolution", "is missing"));
  EXPECT_THAT(ResolveText(kTeacher, "dataset: DATASET_IMAGES resolution: 64"),
              Refused("path", "is missing"));
  EXPECT_EQ(ResolvedSide(kTeacher,
                         "dataset: DATASET_IMAGES path: '/a.zip' "
                         "resolution: 64 mirror: true"),
            64);
}

TEST(DataFieldsTest, RefusesWhatCannotBe) {
  EXPECT_THAT(ResolveText(kTeacher, "resolution: 28"),
              Refused("resolution", "32 and 16"));
  EXPECT_THAT(ResolveText(kTeacher, "dataset: 77"), Refused("dataset", "none"));
  EXPECT_THAT(ResolveText(kTeacher, "path: 'here'"),
              Refused("path", "is relative"));
  EXPECT_THAT(ResolveText(kTeacher, "max_images: -1"),
              Refused("max_images", "is -1"));
  EXPECT_THAT(ResolveText(kTeacher,
                          "dataset: DATASET_IMAGES path: '/a' "
                          "resolution: 9000"),
              Refused("resolution", "[1, 8192]"));
}

}  // namespace
}  // namespace retort::jobs
