#include "server/base/resource_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/error.h"
#include "tests/support/status_matchers.h"

namespace retort::service {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

TEST(ResourceNameTest, ComesApartAndTogether) {
  RETORT_ASSERT_OK_AND_ASSIGN(const ResourceName name,
                              ParseName(kJobs, "projects/my-lab/jobs/run-1"));
  EXPECT_EQ(name.project, "my-lab");
  EXPECT_EQ(name.id, "run-1");
  EXPECT_EQ(name.ToString(), "projects/my-lab/jobs/run-1");
  EXPECT_EQ(name.Parent(), "projects/my-lab");
}

TEST(ResourceNameTest, NamesAFolderOfItsOwn) {
  EXPECT_EQ((ResourceName{"default", "jobs", "a"}).DirName(), "a");
  EXPECT_EQ((ResourceName{"lab", "jobs", "a"}).DirName(), "lab.a");
}

TEST(ResourceNameTest, RefusesOtherForms) {
  for (const char* name :
       {"", "jobs/a", "projects/p/jobs", "projects/p/jobs/a/b",
        "projects/p/models/a", "projects/P/jobs/a", "projects/p/jobs/../x",
        "projects/p/jobs/-a", "projects//jobs/a"}) {
    const auto result = ParseName(kJobs, name);
    EXPECT_THAT(result, StatusIs(absl::StatusCode::kInvalidArgument,
                                 HasSubstr("projects/{project}/jobs/{id}")))
        << name;
    EXPECT_EQ(FieldViolationsOf(result.status()).size(), 1u);
  }
}

TEST(ResourceNameTest, MakesValidIdsThatDiffer) {
  const std::string id = MakeId("job");
  EXPECT_THAT(ValidateId(id, "job_id"), IsOk());
  EXPECT_NE(id, MakeId("job"));
}

TEST(ResourceNameTest, ParsesParents) {
  EXPECT_THAT(ParseParent("projects/default"),
              retort::testing::IsOkAndHolds("default"));
  EXPECT_THAT(ParseParent("default"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace retort::service
