#include "client/redial.h"

#include <gtest/gtest.h>

namespace retort::client {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1700000000);
const absl::Status kAway = absl::UnavailableError("gone");

TEST(RedialTest, DoesNotWaitForAServerThatWasNeverThere) {
  Redial redial;
  EXPECT_FALSE(redial.ShouldTry(kAway, kNow));
}

TEST(RedialTest, WaitsForOneThatWasThereAsLongAsItsPatienceLasts) {
  Redial redial;
  redial.Heard();
  EXPECT_TRUE(redial.ShouldTry(kAway, kNow));
  EXPECT_TRUE(redial.ShouldTry(kAway, kNow + kRedialPatience));
  EXPECT_FALSE(
      redial.ShouldTry(kAway, kNow + kRedialPatience + absl::Milliseconds(1)));
}

TEST(RedialTest, IsPatientAnewOnceTheServerWasHeard) {
  Redial redial;
  redial.Heard();
  EXPECT_TRUE(redial.ShouldTry(kAway, kNow));
  redial.Heard();
  EXPECT_TRUE(redial.ShouldTry(kAway, kNow + 2 * kRedialPatience));
}

TEST(RedialTest, OtherErrorsAreForTheCaller) {
  Redial redial;
  redial.Heard();
  EXPECT_FALSE(redial.ShouldTry(absl::NotFoundError("no job"), kNow));
  EXPECT_FALSE(redial.ShouldTry(absl::DeadlineExceededError("late"), kNow));
  EXPECT_TRUE(redial.ShouldTry(absl::CancelledError("stops"), kNow));
}

}  // namespace
}  // namespace retort::client
