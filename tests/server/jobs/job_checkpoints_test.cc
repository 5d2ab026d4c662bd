// What JobStore does with checkpoints that lie on disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/base/check.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "server/base/error.h"
#include "server/jobs/job_store.h"
#include "tests/server/jobs/job_store_fixture.h"
#include "tests/support/status_matchers.h"

namespace retort::jobs {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using J = v1::Job;

// A job with the files and rows of checkpoints.
class JobCheckpointsTest : public JobStoreFixture {
 protected:
  void SetUp() override {
    JobStoreFixture::SetUp();
    name_ = Create("a");
    for (const int64_t step : {20, 40, 60}) AddCheckpoint(step);
  }
  base::JobDir Dir(const std::string& id = "a") const {
    return base::JobDir(data_dir_.job_dir(id));
  }
  void AddCheckpoint(int64_t step) {
    const std::string dir = Dir().checkpoint_dir(step);
    const std::string manifest = R"({"files": {"tensors": "hash"}})";
    ASSERT_THAT(base::MakeDirs(dir), IsOk());
    ASSERT_THAT(base::AtomicWriteFile(dir + "/tensors", "weights"), IsOk());
    ASSERT_THAT(base::AtomicWriteFile(base::JobDir::CheckpointManifestPath(dir),
                                      manifest),
                IsOk());
    v1::Checkpoint checkpoint;
    checkpoint.set_step(step);
    checkpoint.set_sha256(base::Sha256Hex(manifest));
    ASSERT_THAT(store_->RecordCheckpoint(name_, checkpoint), IsOk());
    v1::JobProgress progress;
    progress.set_step(step);
    progress.set_images(2 * step);
    ASSERT_THAT(store_->RecordProgress(name_, progress, {{"loss", 0.1 * step}},
                                       clock_.Now()),
                IsOk());
  }
  // Steps done since the newest checkpoint.
  void Progress(int64_t step) {
    v1::JobProgress progress;
    progress.set_step(step);
    progress.set_total_steps(100);
    progress.set_images(2 * step);
    progress.set_loss(0.1 * step);
    ASSERT_THAT(store_->RecordProgress(
                    name_, progress, {{"loss", progress.loss()}}, clock_.Now()),
                IsOk());
  }
  NewJob CloneFrom(int64_t step) {
    NewJob clone = MakeJob("b");
    clone.start_from = Dir().checkpoint_dir(step);
    RETORT_CHECK(store_->FindCheckpoint(name_, step).ok());
    clone.start_sha256 = store_->FindCheckpoint(name_, step)->sha256();
    clone.job.mutable_origin()->set_job(name_);
    clone.job.mutable_origin()->set_step(step);
    return clone;
  }
  std::vector<int64_t> StepsListed() {
    std::vector<int64_t> steps;
    for (const auto& c : *store_->ListCheckpoints(name_)) {
      steps.push_back(c.step());
    }
    return steps;
  }

  std::string name_;
};

TEST_F(JobCheckpointsTest, GoesBackToACheckpointAndDropsWhatCameAfter) {
  ASSERT_THAT(MoveTo(name_, J::STATE_PAUSED), IsOk());
  ASSERT_THAT(store_->DropAfter(name_, 40), IsOk());
  EXPECT_THAT(*Dir().ListCheckpoints(), ElementsAre(20, 40));
  EXPECT_THAT(StepsListed(), ElementsAre(20, 40));
  EXPECT_EQ(store_->ListMetrics(name_, {}, 100)->at(0).points_size(), 2);
  const v1::JobProgress progress = store_->Get(name_)->job.progress();
  EXPECT_EQ(progress.step(), 40);
  EXPECT_EQ(progress.images(), 80);
  EXPECT_DOUBLE_EQ(progress.loss(), 4);
  EXPECT_THAT(store_->ListEvents(name_, 0, 100)->back().event().message(),
              HasSubstr("went back from step 60 to the checkpoint of step 40"));
}

TEST_F(JobCheckpointsTest, AJobInTheQueueStandsAtTheCheckpointItGoesOnFrom) {
  ASSERT_THAT(MoveTo(name_, J::STATE_STARTING), IsOk());
  Progress(75);
  ASSERT_THAT(base::RemoveTree(Dir().checkpoint_dir(20)), IsOk());
  ASSERT_THAT(MoveTo(name_, J::STATE_QUEUED), IsOk());
  v1::JobProgress progress = store_->Get(name_)->job.progress();
  EXPECT_EQ(progress.step(), 60);
  EXPECT_EQ(progress.total_steps(), 100);
  EXPECT_EQ(progress.images(), 120);
  EXPECT_DOUBLE_EQ(progress.loss(), 6);
  // One that failed says how far it was, until it is resumed.
  ASSERT_THAT(MoveTo(name_, J::STATE_STARTING), IsOk());
  Progress(75);
  ASSERT_THAT(MoveTo(name_, J::STATE_FAILED), IsOk());
  EXPECT_EQ(store_->Get(name_)->job.progress().step(), 75);
  ASSERT_THAT(base::RemoveTree(Dir().checkpoint_dir(60)), IsOk());
  ASSERT_THAT(MoveTo(name_, J::STATE_QUEUED), IsOk());
  EXPECT_EQ(store_->Get(name_)->job.progress().step(), 40);
}

TEST_F(JobCheckpointsTest, AJobThatStartsAgainHasReachedNothing) {
  const std::string other = Create("b");
  ASSERT_THAT(MoveTo(other, J::STATE_STARTING), IsOk());
  v1::JobProgress progress;
  progress.set_step(10);
  ASSERT_THAT(store_->RecordProgress(other, progress, {}, clock_.Now()),
              IsOk());
  ASSERT_THAT(MoveTo(other, J::STATE_QUEUED), IsOk());
  EXPECT_FALSE(store_->Get(other)->job.has_progress());
}

TEST_F(JobCheckpointsTest, GoingBackAgainAfterACrashInBetweenIsTheSame) {
  ASSERT_THAT(MoveTo(name_, J::STATE_PAUSED), IsOk());
  // As far as it came: the newest one is gone, its row is not.
  ASSERT_THAT(base::RemoveTree(Dir().checkpoint_dir(60)), IsOk());
  Reopen();
  ASSERT_THAT(store_->DropAfter(name_, 20), IsOk());
  const size_t events = store_->ListEvents(name_, 0, 100)->size();
  ASSERT_THAT(store_->DropAfter(name_, 20), IsOk());
  EXPECT_THAT(*Dir().ListCheckpoints(), ElementsAre(20));
  EXPECT_THAT(StepsListed(), ElementsAre(20));
  EXPECT_THAT(*store_->ListEvents(name_, 0, 100), SizeIs(events));
}

TEST_F(JobCheckpointsTest, SaysWhichCheckpointsThereAre) {
  const absl::Status status = store_->DropAfter(name_, 30);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound,
                               HasSubstr("those of steps 20, 40, 60")));
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_RESOURCE_NOT_FOUND);
  EXPECT_THAT(*Dir().ListCheckpoints(), ElementsAre(20, 40, 60));
}

TEST_F(JobCheckpointsTest, ACloneHasACopyThatOutlivesTheOldJob) {
  ASSERT_THAT(store_->CreateJob(CloneFrom(40)), IsOk());
  ASSERT_THAT(MoveTo(name_, J::STATE_CANCELLED), IsOk());
  ASSERT_THAT(store_->Delete(name_, ""), IsOk());
  EXPECT_EQ(*base::ReadFile(Dir("b").start_dir() + "/tensors"), "weights");
  EXPECT_THAT(*Dir("b").ListCheckpoints(), SizeIs(0))
      << "it is no checkpoint of the clone's own";
}

TEST_F(JobCheckpointsTest, ADamagedCheckpointMakesNoClone) {
  const NewJob clone = CloneFrom(40);
  ASSERT_THAT(base::RemoveTree(clone.start_from + "/tensors"), IsOk());
  EXPECT_THAT(store_->CreateJob(clone),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("tensors")));
  ASSERT_THAT(base::AtomicWriteFile(
                  base::JobDir::CheckpointManifestPath(clone.start_from), "{}"),
              IsOk());
  EXPECT_THAT(store_->CreateJob(clone),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("manifest")));
  ASSERT_THAT(base::RemoveTree(clone.start_from), IsOk());
  EXPECT_THAT(store_->CreateJob(clone), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(base::FileExists(Dir("b").path()));
}

TEST_F(JobCheckpointsTest, ACloneCanGoBackToWhereItBegan) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job clone,
                              store_->CreateJob(CloneFrom(40)));
  ASSERT_THAT(MoveTo(clone.name(), J::STATE_PAUSED), IsOk());
  ASSERT_THAT(base::MakeDirs(Dir("b").checkpoint_dir(50)), IsOk());
  ASSERT_THAT(store_->DropAfter(clone.name(), 40), IsOk());
  EXPECT_THAT(*Dir("b").ListCheckpoints(), SizeIs(0));
  EXPECT_TRUE(base::IsDirectory(Dir("b").start_dir()));
}

}  // namespace
}  // namespace retort::jobs
