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
