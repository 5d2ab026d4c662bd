#include "server/base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace retort::service {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

TEST(ErrorTest, CarriesItsReason) {
  const absl::Status status = NotFound("job", "projects/p/jobs/j");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound,
                               HasSubstr("no job projects/p/jobs/j")));
  EXPECT_EQ(ReasonOf(status), v1::ERROR_REASON_RESOURCE_NOT_FOUND);
}

TEST(ErrorTest, ListsEveryWrongField) {
  const absl::Status status =
      BadFields(v1::ERROR_REASON_SPEC_INVALID,
                {{"a", "is too small"}, {"b.c", "is missing"}});
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                               "a: is too small; b.c: is missing"));
  EXPECT_EQ(ReasonOf(status), v1::ERROR_REASON_SPEC_INVALID);
  const auto violations = FieldViolationsOf(status);
  ASSERT_EQ(violations.size(), 2u);
  EXPECT_EQ(violations[1].field, "b.c");
  EXPECT_EQ(violations[1].description, "is missing");
}

TEST(ErrorTest, AddsWhenToTryAgain) {
  const absl::Status status = WithRetryAfter(
      absl::ResourceExhaustedError("full"), absl::Milliseconds(1500));
  EXPECT_EQ(RetryAfterOf(status), absl::Milliseconds(1500));
  EXPECT_EQ(RetryAfterOf(absl::ResourceExhaustedError("full")), std::nullopt);
}

TEST(ErrorTest, APlainWrongFieldHasAReasonToo) {
  EXPECT_EQ(ReasonOf(BadField("name", "is odd")),
            v1::ERROR_REASON_INVALID_ARGUMENT);
}

TEST(ErrorTest, HasNoReasonUnlessGivenOne) {
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), std::nullopt);
  EXPECT_TRUE(WithRetryAfter(absl::OkStatus(), absl::Seconds(1)).ok());
}

}  // namespace
}  // namespace retort::service
