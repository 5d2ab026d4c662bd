#include "server/worker/job_fence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "core/base/check.h"
#include "core/base/file.h"
#include "server/worker/end_hard.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::worker {
namespace {

using ::retort::testing::IsOk;
using ::testing::ExitedWithCode;

// The fence of epoch 5.
class JobFenceTest : public ::testing::Test {
 protected:
  JobFenceTest() {
    RETORT_CHECK_OK(base::MakeDirs(job_.path()));
    internal::v1::Assignment assignment;
    assignment.set_job_dir(job_.path());
    assignment.set_epoch(5);
    fence_ = FenceOf(assignment, absl::Seconds(1));
  }
  void SetEpochFile(const std::string& text) {
    ASSERT_THAT(base::AtomicWriteFile(job_.epoch_path(), text), IsOk());
  }

  testing::TempDir dir_;
  const base::JobDir job_{dir_ / "job"};
  train::Fence fence_;
};

TEST_F(JobFenceTest, LetsItsOwnEpochPass) {
  SetEpochFile("5");
  fence_.Check();
  EXPECT_EQ(fence_.epoch, 5);
}

TEST_F(JobFenceTest, LetsAFolderOfAnOlderServerPass) { fence_.Check(); }

TEST_F(JobFenceTest, EndsTheProcessForAnyOtherEpoch) {
  SetEpochFile("6");
  EXPECT_EXIT(fence_.Check(), ExitedWithCode(kWorkerFenced), "");
  // The job was made anew, or the database came from a backup.
  SetEpochFile("4");
  EXPECT_EXIT(fence_.Check(), ExitedWithCode(kWorkerFenced), "");
}

TEST_F(JobFenceTest, EndsTheProcessWhenNothingSaysWhoseTheJobIs) {
  SetEpochFile("");
  EXPECT_EXIT(fence_.Check(), ExitedWithCode(kWorkerFenced), "");
  ASSERT_THAT(base::RemoveTree(job_.epoch_path()), IsOk());
  // Not a file.
  ASSERT_THAT(base::MakeDirs(job_.epoch_path()), IsOk());
  EXPECT_EXIT(fence_.Check(), ExitedWithCode(kWorkerFenced), "");
}

TEST_F(JobFenceTest, EndsTheProcessWhenTheFolderIsOfAnotherJobOfThatName) {
  SetEpochFile("5");
  ASSERT_THAT(base::Rename(job_.path(), dir_ / "aside"), IsOk());
  ASSERT_THAT(base::MakeDirs(job_.path()), IsOk());
  SetEpochFile("5");
  EXPECT_EXIT(fence_.Check(), ExitedWithCode(kWorkerFenced), "");
}

TEST_F(JobFenceTest, WaitsForAFileSystemThatDoesNotAnswerForAMoment) {
  SetEpochFile("");
  std::thread soon([this] {
    absl::SleepFor(absl::Milliseconds(100));
    SetEpochFile("5");
  });
  fence_.Check();
  soon.join();
}

TEST_F(JobFenceTest, EndsTheProcessWhenTheFolderIsGone) {
  ASSERT_THAT(base::RemoveTree(job_.path()), IsOk());
  EXPECT_EXIT(fence_.Check(), ExitedWithCode(kWorkerFenced), "");
}

}  // namespace
}  // namespace retort::worker
