#include "core/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace retort::base {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(LogTest, WritesToStderrFromTheChosenLevelUp) {
  ASSERT_THAT(InitLog("tester", "warn"), IsOk());
  ::testing::internal::CaptureStderr();
  RETORT_LOG(info, "quiet {}", 1);
  RETORT_LOG(warn, "loud {}", 2);
  const std::string output = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(output, HasSubstr("tester["));
  EXPECT_THAT(output, HasSubstr("loud 2"));
  EXPECT_THAT(output, Not(HasSubstr("quiet")));
}

TEST(LogTest, RefusesAnUnknownLevel) {
  EXPECT_THAT(InitLog("tester", "chatty"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("unknown log level 'chatty'")));
  EXPECT_THAT(InitLog("tester", "off"), IsOk());
}

}  // namespace
}  // namespace retort::base
