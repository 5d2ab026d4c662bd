#include "server/batching/sample_request.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "server/base/error.h"
#include "tests/support/status_matchers.h"

namespace retort::batching {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

ServedModel Ctm() {
  ServedModel model;
  model.kind = v1::Model::KIND_CTM;
  model.channels = 1;
  model.resolution = 32;
  model.classes = 10;
  return model;
}

// Returns the fields that are wrong, separated by spaces; "" if none is.
std::string Wrong(const v1::SampleRequest& request,
                  const ServedModel& model = Ctm()) {
  const auto resolved = ResolveSampleRequest(request, model, SampleLimits());
  std::string fields;
  for (const auto& violation : service::FieldViolationsOf(resolved.status())) {
    fields += (fields.empty() ? "" : " ") + violation.field;
  }
  return fields;
}

TEST(SampleRequestTest, FillsEveryDefaultIn) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const v1::SampleRequest resolved,
      ResolveSampleRequest(v1::SampleRequest(), Ctm(), SampleLimits()));
  EXPECT_EQ(resolved.samples(), 1);
  EXPECT_EQ(resolved.steps(), 1);
  EXPECT_EQ(resolved.format(), v1::IMAGE_FORMAT_RAW_UINT8);
  EXPECT_THAT(resolved.classes(), ElementsAre(0));
}

TEST(SampleRequestTest, ClassesFollowTheIndexOfTheImage) {
  v1::SampleRequest request;
  request.set_samples(4);
  request.set_first_index(8);
  const auto classes = [&] {
    return ResolveSampleRequest(request, Ctm(), SampleLimits())->classes();
  };
  EXPECT_THAT(classes(), ElementsAre(8, 9, 0, 1));
  request.add_classes(3);
  EXPECT_THAT(classes(), ElementsAre(3, 3, 3, 3));
  ServedModel unconditional = Ctm();
  unconditional.classes = 0;
  EXPECT_EQ(Wrong(request, unconditional), "classes");
}

TEST(SampleRequestTest, RefusesClassesThatTheModelDoesNotHave) {
  v1::SampleRequest request;
  request.set_samples(2);
  request.add_classes(10);
  EXPECT_EQ(Wrong(request), "classes");
  request.set_classes(0, 9);
  EXPECT_EQ(Wrong(request), "");
  request.add_classes(1);
  EXPECT_EQ(Wrong(request), "");
  request.add_classes(2);
  EXPECT_EQ(Wrong(request), "classes");
}

TEST(SampleRequestTest, TimesMustFallAndBePositive) {
  v1::SampleRequest request;
  request.add_times(80);
  request.add_times(1.5);
  EXPECT_EQ(Wrong(request), "");
  request.set_steps(3);
  EXPECT_EQ(Wrong(request), "steps");
  request.set_steps(0);
  request.add_times(1.5);
  EXPECT_EQ(Wrong(request), "times[2]");
  request.set_times(2, -1);
  EXPECT_EQ(Wrong(request), "times[2]");
  request.set_times(0, std::numeric_limits<double>::infinity());
  EXPECT_EQ(Wrong(request), "times[0]");
}

TEST(SampleRequestTest, GammaIsForTrajectoryModels) {
  v1::SampleRequest request;
  request.set_gamma(0.5);
  EXPECT_EQ(Wrong(request), "");
  request.set_gamma(1.5);
  EXPECT_EQ(Wrong(request), "gamma");
  request.set_gamma(std::nan(""));
  EXPECT_EQ(Wrong(request), "gamma");
  request.set_gamma(0.5);
  ServedModel teacher = Ctm();
  teacher.kind = v1::Model::KIND_TEACHER;
  EXPECT_EQ(Wrong(request, teacher), "gamma");
}

TEST(SampleRequestTest, NamesEveryWrongField) {
  v1::SampleRequest request;
  request.set_samples(-1);
  request.set_steps(5000);
  request.set_first_index(-3);
  request.set_format(static_cast<v1::ImageFormat>(17));
  EXPECT_EQ(Wrong(request), "samples first_index format steps");
}

TEST(SampleRequestTest, LimitsTheBytesOfAnAnswer) {
  v1::SampleRequest request;
  request.set_samples(4096);
  request.set_format(v1::IMAGE_FORMAT_FLOAT32);
  EXPECT_THAT(ResolveSampleRequest(request, Ctm(), SampleLimits()), IsOk());
  ServedModel large = Ctm();
  large.channels = 3;
  large.resolution = 64;
  EXPECT_THAT(
      ResolveSampleRequest(request, large, SampleLimits()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("first_index")));
  request.set_samples(64);
  EXPECT_EQ(AnswerBytes(request, large), 64 * 3 * 64 * 64 * 4);
}

}  // namespace
}  // namespace retort::batching
