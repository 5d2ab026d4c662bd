#include "core/base/status_macros.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <utility>

#include "tests/support/status_matchers.h"

namespace retort::base {
namespace {

using ::retort::testing::IsOkAndHolds;
using ::retort::testing::StatusIs;

absl::StatusOr<std::unique_ptr<int>> Half(int x) {
  if (x % 2 != 0) return absl::InvalidArgumentError("odd");
  return std::make_unique<int>(x / 2);
}

absl::StatusOr<int> Quarter(int x) {
  RETORT_ASSIGN_OR_RETURN(const std::unique_ptr<int> half, Half(x));
  RETORT_ASSIGN_OR_RETURN(std::unique_ptr<int> quarter, Half(*half));
  return *quarter;
}

absl::Status Refuse(bool refuse) {
  RETORT_RETURN_IF_ERROR(refuse ? absl::AbortedError("no") : absl::OkStatus());
  return absl::UnknownError("went on");
}

TEST(StatusMacrosTest, AssignOrReturnMovesTheValueOut) {
  EXPECT_THAT(Quarter(12), IsOkAndHolds(3));
}

TEST(StatusMacrosTest, AssignOrReturnReturnsTheError) {
  EXPECT_THAT(Quarter(6), StatusIs(absl::StatusCode::kInvalidArgument, "odd"));
}

TEST(StatusMacrosTest, ReturnIfErrorGoesOnOnlyWhenOk) {
  EXPECT_THAT(Refuse(true), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(Refuse(false), StatusIs(absl::StatusCode::kUnknown));
}

TEST(StatusMacrosTest, AssignOrReturnTakesExpressionsWithCommas) {
  const auto first = []() -> absl::StatusOr<int> {
    RETORT_ASSIGN_OR_RETURN(
        int value, absl::StatusOr<int>(std::pair<int, int>(4, 5).first));
    return value;
  };
  EXPECT_THAT(first(), IsOkAndHolds(4));
}

}  // namespace
}  // namespace retort::base
