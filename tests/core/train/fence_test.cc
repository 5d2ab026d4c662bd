#include "core/train/fence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::train {
namespace {

using ::retort::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::Not;

// Stands for the end of the process.
struct Ended {};

class FenceTest : public ::testing::Test {
 protected:
  // Writes a file of that name into the directory it is given.
  static auto Writer(const std::string& name) {
    return [name](const std::string& directory) -> absl::Status {
      EXPECT_THAT(base::MakeDirs(directory), IsOk());
      return base::AtomicWriteFile(directory + "/" + name, "x");
    };
  }

  retort::testing::TempDir dir_;
  const std::string path_ = dir_ / "d";
  const Fence shut_{[] { throw Ended(); }};
};

TEST_F(FenceTest, TwoIncarnationsDoNotBuildInOnePlace) {
  const auto interrupted = [&](const std::string& directory) -> absl::Status {
    EXPECT_THAT(Writer("old")(directory), IsOk());
    EXPECT_THAT(PlaceDir({nullptr, 2}, path_, Writer("new")), IsOk());
    return Writer("older")(directory);
  };
  ASSERT_THAT(PlaceDir({nullptr, 1}, path_, interrupted), IsOk());
  EXPECT_THAT(*base::ListDir(path_), ElementsAre("old", "older"));
  EXPECT_THAT(*base::ListDir(dir_.path()), ElementsAre("d"));
}

TEST_F(FenceTest, IsAskedBeforeAnythingIsPutOrRemoved) {
  ASSERT_THAT(PlaceDir({}, path_, Writer("a")), IsOk());
  bool over = false;
  const Fence fence{[&over] {
    if (over) throw Ended();
  }};
  // The job is taken over while this one writes.
  const auto slow = [&](const std::string& directory) {
    over = true;
    return Writer("b")(directory);
  };
  EXPECT_THROW(PlaceDir(fence, path_, slow).IgnoreError(), Ended);
  EXPECT_THROW(RemoveDir(fence, path_).IgnoreError(), Ended);
  EXPECT_THAT(*base::ListDir(path_), ElementsAre("a"));
}

TEST_F(FenceTest, ADirectoryThatCannotGetAnotherNameStaysWhole) {
  // As long as a name may be.
  const std::string path = dir_ / std::string(255, 'd');
  ASSERT_THAT(Writer("a")(path), IsOk());
  EXPECT_THAT(RemoveDir({}, path), Not(IsOk()));
  EXPECT_THAT(*base::ListDir(path), ElementsAre("a"));
}

TEST_F(FenceTest, SweepsWhatOthersLeftAndNothingElse) {
  const base::JobDir job(dir_.path());
  for (const std::string& name :
       {job.checkpoint_dir(1), job.checkpoint_dir(2) + ".tmp",
        Fence{nullptr, 7}.Temporary(job.checkpoint_dir(1)), job.result_dir(),
        Fence{nullptr, 7}.Temporary(job.result_dir()),
        dir_ / "spec.json.tmp.1.0"}) {
    ASSERT_THAT(Writer("a")(name), IsOk());
  }
  EXPECT_THROW(SweepTemporaries(shut_, job), Ended);
  EXPECT_EQ(base::ListDir(job.checkpoints_dir())->size(), 3u);
  SweepTemporaries({nullptr, 8}, job);
  EXPECT_THAT(*base::ListDir(job.checkpoints_dir()), ElementsAre("00000001"));
  EXPECT_THAT(*base::ListDir(dir_.path()),
              ElementsAre("checkpoints", "result", "spec.json.tmp.1.0"));
}

}  // namespace
}  // namespace retort::train
