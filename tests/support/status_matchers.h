#ifndef RETORT_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define RETORT_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// GoogleTest matchers for absl::Status and absl::StatusOr<T>:
//
//   EXPECT_THAT(DoIt(), IsOk());
//   EXPECT_THAT(Load(path), StatusIs(absl::StatusCode::kDataLoss));
//   EXPECT_THAT(Load(path), StatusIs(absl::StatusCode::kDataLoss,
//                                    HasSubstr("weights")));
//   EXPECT_THAT(Count(), IsOkAndHolds(3));
//   RETORT_ASSERT_OK_AND_ASSIGN(auto value, Load(path));
namespace retort::testing {

inline const absl::Status& AsStatus(const absl::Status& status) {
  return status;
}
template <typename T>
const absl::Status& AsStatus(const absl::StatusOr<T>& result) {
  return result.status();
}

// Matches an OK status, or a StatusOr that holds a value.
MATCHER(IsOk, negation ? "is not OK" : "is OK") {
  const absl::Status& status = AsStatus(arg);
  *result_listener << status.ToString();
  return status.ok();
}

MATCHER_P2(StatusMatches, code, message, "") {
  const absl::Status& status = AsStatus(arg);
  *result_listener << status.ToString();
  return status.code() == code &&
         ::testing::Value(std::string(status.message()), message);
}

// Matches a status (or StatusOr) with this code, whatever its message.
inline auto StatusIs(absl::StatusCode code) {
  return StatusMatches(code, ::testing::_);
}

// Matches a status (or StatusOr) with this code whose message matches.
template <typename Message>
auto StatusIs(absl::StatusCode code, Message message) {
  return StatusMatches(code, std::move(message));
}

// Matches a StatusOr that holds a value matching `value`.
MATCHER_P(IsOkAndHolds, value, "") {
  if (!arg.ok()) {
    *result_listener << arg.status().ToString();
    return false;
  }
  return ::testing::ExplainMatchResult(value, *arg, result_listener);
}

}  // namespace retort::testing

#define RETORT_TESTING_CONCAT_INNER(x, y) x##y
#define RETORT_TESTING_CONCAT(x, y) RETORT_TESTING_CONCAT_INNER(x, y)

// Declares `lhs` from the value of a StatusOr, or fails the test at once.
#define RETORT_ASSERT_OK_AND_ASSIGN(lhs, expr) \
  RETORT_ASSERT_OK_AND_ASSIGN_IMPL(            \
      RETORT_TESTING_CONCAT(status_or_, __LINE__), lhs, expr)
#define RETORT_ASSERT_OK_AND_ASSIGN_IMPL(result, lhs, expr) \
  auto result = (expr);                                     \
  ASSERT_TRUE(result.ok()) << result.status();              \
  lhs = std::move(result).value()

#endif  // RETORT_TESTS_SUPPORT_STATUS_MATCHERS_H_
