#include "core/base/check.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace retort::base {
namespace {

TEST(CheckTest, DoesNothingWhenTheConditionHolds) {
  RETORT_CHECK(1 + 1 == 2);
  RETORT_CHECK_OK(absl::OkStatus());
}

TEST(CheckTest, DoesNotBuildTheDetailWhenTheConditionHolds) {
  int built = 0;
  const auto detail = [&] { return absl::StrCat("built ", ++built); };
  RETORT_CHECK(true, detail());
  EXPECT_EQ(built, 0);
}

TEST(CheckDeathTest, PrintsPlaceConditionAndDetail) {
  EXPECT_DEATH(RETORT_CHECK(1 > 2, absl::StrCat("index ", 7)),
               "check_test.cc:[0-9]+: check failed: 1 > 2: index 7");
}

TEST(CheckDeathTest, PrintsTheStatusThatShouldHaveBeenOk) {
  EXPECT_DEATH(RETORT_CHECK_OK(absl::DataLossError("torn")), "DATA_LOSS: torn");
}

}  // namespace
}  // namespace retort::base
