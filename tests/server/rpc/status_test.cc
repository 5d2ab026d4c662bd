#include "server/rpc/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/error.h"
#include "tests/support/status_matchers.h"

namespace retort::rpc {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

TEST(StatusTest, GoesThereAndBackWithItsDetails) {
  absl::Status status = service::BadFields(v1::ERROR_REASON_SPEC_INVALID,
                                           {{"job.spec", "is empty"}});
  status = service::WithRetryAfter(status, absl::Seconds(3));
  const absl::Status back = FromGrpc(ToGrpc(status));
  EXPECT_EQ(back, status);
  EXPECT_EQ(service::ReasonOf(back), v1::ERROR_REASON_SPEC_INVALID);
  EXPECT_EQ(service::FieldViolationsOf(back).size(), 1u);
  EXPECT_EQ(service::RetryAfterOf(back), absl::Seconds(3));
}

TEST(StatusTest, KeepsEveryCode) {
  for (int code = 0; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "why");
    EXPECT_EQ(ToGrpc(status).error_code(), code);
    EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
  }
}

TEST(StatusTest, CarriesNoDetailsWhereThereAreNone) {
  EXPECT_EQ(ToGrpc(absl::InternalError("x")).error_details(), "");
}

TEST(StatusTest, SaysThatAMethodIsNotThereYet) {
  const absl::Status status = FromGrpc(NotImplementedMethod("PauseJob"));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnimplemented,
                               HasSubstr("PauseJob")));
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_NOT_IMPLEMENTED);
}

}  // namespace
}  // namespace retort::rpc
