#include "core/base/run_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::base {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::IsOkAndHolds;
using ::retort::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

TEST(RunDirTest, LaysOutTheDataDirectory) {
  const DataDir data("/d");
  EXPECT_EQ(data.db_path(), "/d/retort.db");
  EXPECT_EQ(data.job_dir("j-1"), "/d/jobs/j-1");
  EXPECT_EQ(data.model_dir("m.v2"), "/d/models/m.v2");
  EXPECT_EQ(ModelDir("/m").weights_path(), "/m/weights.safetensors");
  EXPECT_EQ(JobDir("/j").checkpoint_dir(1234), "/j/checkpoints/00001234");
}

TEST(RunDirTest, LetsNoIdLeaveItsFolder) {
  EXPECT_EQ(PathComponent(".."), "%2E%2E");
  EXPECT_EQ(PathComponent("."), "%2E");
  EXPECT_EQ(PathComponent("../a/b"), "%2E.%2Fa%2Fb");
  EXPECT_EQ(PathComponent(""), "%");
  EXPECT_EQ(PathComponent(absl::string_view("a\0b", 3)), "a%00b");
  EXPECT_EQ(PathComponent("\xc3\xa9"), "%C3%A9");
}

TEST(RunDirTest, ParsesTheCheckpointNamesItBuilds) {
  for (const int64_t step : {int64_t{0}, int64_t{7}, int64_t{123456789012}}) {
    const std::string path = JobDir("/j").checkpoint_dir(step);
    EXPECT_THAT(ParseCheckpointName(path.substr(path.rfind('/') + 1)),
                Optional(step));
  }
}

TEST(RunDirTest, RefusesOtherCheckpointNames) {
  for (const char* name : {"", "12", "00000012.tmp", "-0000012", "000000012",
                           "99999999999999999999", "0000001a"}) {
    EXPECT_EQ(ParseCheckpointName(name), std::nullopt) << name;
  }
}

TEST(RunDirTest, ListsCheckpointsByStep) {
  TempDir dir;
  const JobDir job(dir.path());
  EXPECT_THAT(job.ListCheckpoints(), IsOkAndHolds(IsEmpty()));
  for (const int64_t step : {200, 30, 1000000000}) {
    ASSERT_THAT(MakeDirs(job.checkpoint_dir(step)), IsOk());
  }
  ASSERT_THAT(MakeDirs(job.checkpoint_dir(400) + ".tmp"), IsOk());
  EXPECT_THAT(job.ListCheckpoints(),
              IsOkAndHolds(ElementsAre(30, 200, 1000000000)));
}

}  // namespace
}  // namespace retort::base
