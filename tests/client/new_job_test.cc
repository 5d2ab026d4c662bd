#include "client/commands/new_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/commands/commands.h"
#include "tests/support/status_matchers.h"

namespace retort::client {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(NewJobTest, SubmitAndCloneTakeTheSameFlags) {
  Context context;
  for (const auto add : {AddJobsSubmit, AddJobsClone}) {
    CLI::App app;
    add(&app, &context);
    const CLI::App* command =
        app.get_subcommands([](const CLI::App*) { return true; })[0];
    for (const char* flag :
         {"--set", "--id", "--request-id", "--display-name", "--priority",
          "--priority-class", "--watch", "--validate-only"}) {
      EXPECT_NE(command->get_option_no_throw(flag), nullptr)
          << command->get_name() << " " << flag;
    }
  }
}

NewJobOptions Parsed(const std::string& line) {
  CLI::App app;
  NewJobOptions options;
  AddNewJobOptions(&app, &options);
  app.parse(line, /*program_name_included=*/false);
  return options;
}

TEST(NewJobTest, WhatIsGivenIsSetAndMasked) {
  v1::Job job;
  google::protobuf::FieldMask mask;
  ASSERT_THAT(ApplyFlags(Parsed("--priority -3 --priority-class low "
                                "--display-name x"),
                         &job, &mask),
              IsOk());
  EXPECT_EQ(job.priority(), -3);
  EXPECT_EQ(job.priority_class(), v1::Job::PRIORITY_CLASS_LOW);
  EXPECT_EQ(job.display_name(), "x");
  EXPECT_THAT(mask.paths(),
              ElementsAre("display_name", "priority", "priority_class"));
}

TEST(NewJobTest, WhatIsNotGivenStays) {
  v1::Job job;
  job.set_priority(5);
  google::protobuf::FieldMask mask;
  ASSERT_THAT(ApplyFlags(Parsed(""), &job, &mask), IsOk());
  EXPECT_EQ(job.priority(), 5);
  EXPECT_THAT(mask.paths(), IsEmpty());
}

TEST(NewJobTest, APriorityOfZeroOverridesTheFile) {
  v1::Job job;
  job.set_priority(5);
  google::protobuf::FieldMask mask;
  ASSERT_THAT(ApplyFlags(Parsed("--priority 0"), &job, &mask), IsOk());
  EXPECT_EQ(job.priority(), 0);
}

TEST(NewJobTest, AWrongClassIsRefused) {
  v1::Job job;
  google::protobuf::FieldMask mask;
  EXPECT_THAT(ApplyFlags(Parsed("--priority-class urgent"), &job, &mask),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("none of low, normal, high")));
}

}  // namespace
}  // namespace retort::client
