#include "server/executor/subprocess.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace retort::executor {
namespace {

using ::retort::testing::StatusIs;

TEST(RunToEndTest, ReturnsWhatTheProgramPrinted) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const SubprocessResult result,
      RunToEnd({"/bin/sh", "-c", "echo out; echo err >&2; exit 3"}));
  EXPECT_EQ(result.stdout_text, "out\n");
  EXPECT_EQ(result.stderr_text, "err\n");
  EXPECT_EQ(result.exit.code, 3);
  EXPECT_EQ(result.exit.ToString(), "exit code 3");
}

TEST(RunToEndTest, GivesTheProgramItsInput) {
  SubprocessOptions options;
  options.stdin_text = std::string(200000, 'x');  // more than a pipe holds
  RETORT_ASSERT_OK_AND_ASSIGN(const SubprocessResult result,
                              RunToEnd({"/usr/bin/wc", "-c"}, options));
  EXPECT_EQ(result.stdout_text, "200000\n");
}

TEST(RunToEndTest, NamesTheSignalThatKilledIt) {
  RETORT_ASSERT_OK_AND_ASSIGN(const SubprocessResult result,
                              RunToEnd({"/bin/sh", "-c", "kill -9 $$"}));
  EXPECT_EQ(result.exit.ToString(), "killed by signal 9 (Killed)");
}

TEST(RunToEndTest, KeepsNoMoreThanTheLimit) {
  SubprocessOptions options;
  options.max_output_bytes = 10;
  RETORT_ASSERT_OK_AND_ASSIGN(
      const SubprocessResult result,
      RunToEnd({"/bin/sh", "-c", "yes | head -n 100000"}, options));
  EXPECT_EQ(result.stdout_text.size(), 10u);
}

TEST(RunToEndTest, KillsAProgramThatTakesTooLong) {
  SubprocessOptions options;
  options.timeout = absl::Milliseconds(50);
  EXPECT_THAT(RunToEnd({"/bin/sh", "-c", "sleep 100"}, options),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(RunToEndTest, KillsAProgramThatIsToStop) {
  SubprocessOptions options;
  options.stop = [] { return true; };
  EXPECT_THAT(RunToEnd({"/bin/sh", "-c", "sleep 100"}, options),
              StatusIs(absl::StatusCode::kCancelled));
}

TEST(RunToEndTest, SaysWhenThereIsNoSuchProgram) {
  EXPECT_THAT(RunToEnd({"/no/such/program"}),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace retort::executor
