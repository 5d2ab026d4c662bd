#include "client/usage_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace retort::client {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

// How the command line "retort <line>" is refused.
absl::Status Refusal(const std::string& line) {
  CLI::App app;
  app.require_subcommand(1);
  app.fallthrough();
  bool json = false;
  app.add_flag("--json", json);
  CLI::App* jobs = app.add_subcommand("jobs");
  jobs->require_subcommand(1);
  CLI::App* get = jobs->add_subcommand("get");
  int number = 1;
  get->add_option("-n", number)->check(CLI::PositiveNumber);
  get->add_option("--tail", number);
  double seconds = 0;
  app.add_option("--timeout", seconds);
  try {
    app.parse(line, /*program_name_included=*/false);
  } catch (const CLI::ParseError& error) {
    return UsageError(app, error);
  }
  return absl::OkStatus();
}

TEST(UsageErrorTest, NamesTheWordThatIsNoCommandAtAnyLevel) {
  for (const char* line : {"jobz", "--json jobz"}) {
    EXPECT_THAT(Refusal(line),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("no command 'jobz'; did you mean jobs?")));
  }
  for (const char* line : {"jobs gett", "--json jobs gett", "jobs gett -n 1"}) {
    EXPECT_THAT(Refusal(line),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("no command 'gett'; did you mean get?")));
  }
}

TEST(UsageErrorTest, ListsWhatIsTooMuchAsItWasWritten) {
  EXPECT_THAT(Refusal("jobs get one 'two three' --four"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("not expected: 'one' 'two three' '--four'")));
}

TEST(UsageErrorTest, SaysWhatNumbersAre) {
  EXPECT_THAT(Refusal("jobs get --tail many"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("--tail: 'many' is no whole number, or too "
                                 "large a one; for example: --tail 3")));
  EXPECT_THAT(Refusal("jobs get --timeout soon"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("--timeout: 'soon' is no number; for "
                                 "example: --timeout 2.5")));
}

TEST(UsageErrorTest, SaysWhereTokensAreMade) {
  EXPECT_THAT(Refusal("token new"), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr("retortd token new")));
}

TEST(UsageErrorTest, SaysEverythingElseAsItIs) {
  EXPECT_THAT(Refusal("jobs"), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("subcommand is required")));
  EXPECT_THAT(Refusal("jobs get -n 0"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("-n")));
  EXPECT_THAT(Refusal("jobs get more"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more")));
}

}  // namespace
}  // namespace retort::client
