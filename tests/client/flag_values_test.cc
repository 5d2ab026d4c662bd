#include "client/flag_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/call_status.h"
#include "retort/v1/job_service.pb.h"
#include "retort/v1/spec.pb.h"
#include "tests/support/status_matchers.h"

namespace retort::client {
namespace {

using ::retort::testing::IsOkAndHolds;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(FlagValuesTest, TakesShortAndFullNamesOfAnEnum) {
  const auto& type = *v1::PreconditioningKind_descriptor();
  for (const char* name : {"analytic-forward", "ANALYTIC_FORWARD",
                           "PRECONDITIONING_KIND_ANALYTIC_FORWARD"}) {
    EXPECT_THAT(ParseEnumFlag("--kind", name, type),
                IsOkAndHolds(v1::PRECONDITIONING_KIND_ANALYTIC_FORWARD));
  }
}

TEST(FlagValuesTest, AWrongNameIsToldWithAllThatMayStandThere) {
  const auto& type = *v1::Job::PriorityClass_descriptor();
  const absl::Status status =
      ParseEnumFlag("--priority-class", "hihg", type).status();
  EXPECT_EQ(status.message(),
            "--priority-class: 'hihg' is none of low, normal, high; did you "
            "mean --priority-class high?");
  EXPECT_EQ(ExitCodeOf(status), kExitUsage);
  EXPECT_EQ(
      ParseEnumFlag("--priority-class", "urgently", type).status().message(),
      "--priority-class: 'urgently' is none of low, normal, high; for "
      "example: --priority-class low");
}

TEST(FlagValuesTest, TasksAreTheFieldsOfASpec) {
  EXPECT_THAT(ParseTask("Train-Teacher"), IsOkAndHolds("train_teacher"));
  const absl::Status status = ParseTask("teacher").status();
  EXPECT_EQ(status.message(),
            "--task: 'teacher' is none of train_teacher, "
            "estimate_preconditioning, distill, evaluate; did you mean --task "
            "train_teacher?");
  EXPECT_EQ(ExitCodeOf(status), kExitUsage);
}

TEST(FlagValuesTest, ProjectsAreIds) {
  for (const char* good : {"vision", "a", "team-7"}) {
    std::string text = good;
    EXPECT_EQ(ProjectId()(text), "") << good;
  }
  for (std::string bad :
       {std::string(), std::string("Vision"), std::string("a/b"),
        std::string("-a"), std::string("a-"), std::string(64, 'a')}) {
    EXPECT_THAT(ProjectId()(bad),
                AllOf(HasSubstr("'" + bad + "' cannot be a project"),
                      HasSubstr("1 to 63 of a-z, 0-9 and -"),
                      HasSubstr("--project vision")));
  }
}

TEST(FlagValuesTest, PrioritiesAndCountsAreWholeNumbers) {
  for (std::string good : {"5", "-5", "2147483647"}) {
    EXPECT_EQ(Priority()(good), "") << good;
  }
  for (std::string bad : {"high", "1.5", "2147483648"}) {
    EXPECT_THAT(Priority()(bad), AllOf(HasSubstr("'" + bad +
                                                 "' is no whole number from "
                                                 "-2147483648 to 2147483647"),
                                       HasSubstr("--priority 5")));
  }
  std::string none = "0", less = "-1";
  EXPECT_EQ(ZeroOrMore()(none), "");
  EXPECT_THAT(ZeroOrMore()(less),
              HasSubstr("'-1' is no whole number from 0 to 2147483647"));
}

}  // namespace
}  // namespace retort::client
