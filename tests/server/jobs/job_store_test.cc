#include "server/jobs/job_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "server/base/error.h"
#include "tests/server/jobs/job_store_fixture.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::jobs {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using J = v1::Job;

class JobStoreTest : public JobStoreFixture {};

TEST_F(JobStoreTest, PutsANewJobInTheQueueWithItsFolder) {
  const std::string name = Create("a");
  EXPECT_EQ(name, "projects/default/jobs/a");
  EXPECT_EQ(StateOf(name), J::STATE_QUEUED);
  RETORT_ASSERT_OK_AND_ASSIGN(
      const std::string spec,
      base::ReadFile(base::JobDir(data_dir_.job_dir("a")).spec_path()));
  EXPECT_THAT(spec, HasSubstr("\"iterations\": \"100\""));
}

TEST_F(JobStoreTest, KeepsJobsAcrossARestart) {
  const std::string name = Create("a");
  ASSERT_THAT(store_->Update(name,
                             [](JobRecord& record, auto*) {
                               record.job.set_state(J::STATE_STARTING);
                               record.epoch = 3;
                               record.handle = "local 77:5";
                               record.token_sha256 = "hash";
                               return absl::OkStatus();
                             }),
              IsOk());
  Reopen();
  RETORT_ASSERT_OK_AND_ASSIGN(const std::vector<JobRecord> live,
                              store_->ListLive());
  ASSERT_THAT(live, SizeIs(1));
  EXPECT_EQ(live[0].job.state(), J::STATE_STARTING);
  EXPECT_EQ(live[0].epoch, 3);
  EXPECT_EQ(live[0].handle, "local 77:5");
  EXPECT_EQ(live[0].token_sha256, "hash");
}

TEST_F(JobStoreTest, RefusesAnArrowThatDoesNotExistAndChangesNothing) {
  const std::string name = Create("a");
  const absl::Status status = MoveTo(name, J::STATE_SUCCEEDED);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_STATE_CONFLICT);
  EXPECT_EQ(StateOf(name), J::STATE_QUEUED);
  EXPECT_THAT(*store_->ListEvents(name, 0, 100), SizeIs(1));
}

TEST_F(JobStoreTest, AnswersARepeatedRequestWithTheFirstJob) {
  NewJob job = MakeJob("");
  job.request_id = "r1";
  job.request_fingerprint = "f";
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job first, store_->CreateJob(job));
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job second, store_->CreateJob(job));
  EXPECT_EQ(first.name(), second.name());
  Reopen();
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job third, store_->CreateJob(job));
  EXPECT_EQ(first.name(), third.name());
}

TEST_F(JobStoreTest, RefusesARequestIdThatCameWithAnotherRequest) {
  NewJob job = MakeJob("a");
  job.request_id = "r1";
  job.request_fingerprint = "f";
  ASSERT_THAT(store_->CreateJob(job), IsOk());
  job.job_id = "b";
  job.request_fingerprint = "g";
  const auto result = store_->CreateJob(job);
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(service::ReasonOf(result.status()),
            v1::ERROR_REASON_REQUEST_ID_REUSED);
  job.project = "other";
  EXPECT_THAT(store_->CreateJob(job), IsOk());
}

TEST_F(JobStoreTest, RefusesAnIdThatIsTakenAndLeavesItsFolder) {
  Create("a");
  const absl::Status taken = store_->CreateJob(MakeJob("a")).status();
  EXPECT_THAT(taken,
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("exists")));
  EXPECT_EQ(service::ReasonOf(taken), v1::ERROR_REASON_ALREADY_EXISTS);
  EXPECT_TRUE(base::IsDirectory(data_dir_.job_dir("a")));
}

TEST_F(JobStoreTest, SetsAFolderAsideOfWhichTheDatabaseKnowsNothing) {
  // The database was lost, and an older copy put in its place.
  const base::JobDir left(data_dir_.job_dir("a"));
  ASSERT_THAT(base::MakeDirs(left.checkpoint_dir(500)), IsOk());
  Create("a");
  EXPECT_FALSE(base::IsDirectory(left.checkpoint_dir(500)));
  const base::JobDir aside(absl::StrCat(data_dir_.jobs_dir(), "/.orphan-a-",
                                        absl::ToUnixMillis(clock_.Now())));
  EXPECT_TRUE(base::IsDirectory(aside.checkpoint_dir(500)));
}

TEST_F(JobStoreTest, ListsNewestFirstPageByPage) {
  for (const char* id : {"a", "b", "c"}) Create(id);
  RETORT_ASSERT_OK_AND_ASSIGN(JobPage page,
                              store_->List("default", {}, {}, 2, ""));
  ASSERT_THAT(page.jobs, SizeIs(2));
  EXPECT_EQ(page.jobs[0].name(), "projects/default/jobs/c");
  RETORT_ASSERT_OK_AND_ASSIGN(
      page, store_->List("default", {}, {}, 2, page.next_page_token));
  ASSERT_THAT(page.jobs, SizeIs(1));
  EXPECT_EQ(page.jobs[0].name(), "projects/default/jobs/a");
  EXPECT_EQ(page.next_page_token, "");
}

TEST_F(JobStoreTest, ListsOnlyTheStatesAskedFor) {
  Create("a");
  ASSERT_THAT(MoveTo(Create("b"), J::STATE_CANCELLED), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(
      const JobPage page,
      store_->List("default", {J::STATE_CANCELLED, J::STATE_FAILED}, {}, 0,
                   ""));
  ASSERT_THAT(page.jobs, SizeIs(1));
  EXPECT_EQ(page.jobs[0].name(), "projects/default/jobs/b");
}

TEST_F(JobStoreTest, NumbersEventsAndShowsTheJobAsItWas) {
  const std::string name = Create("a");
  ASSERT_THAT(MoveTo(name, J::STATE_STARTING), IsOk());
  ASSERT_THAT(MoveTo(name, J::STATE_RUNNING), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const auto events,
                              store_->ListEvents(name, 2, 100));
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(events[0].event().number(), 2);
  EXPECT_EQ(events[0].job().state(), J::STATE_STARTING);
  EXPECT_EQ(events[1].event().message(), "RUNNING");
  EXPECT_TRUE(events[1].job().has_start_time());
}

TEST_F(JobStoreTest, ShowsProgressButStoresOnlyItsNumbers) {
  const std::string name = Create("a");
  v1::JobProgress progress;
  progress.set_step(10);
  ASSERT_THAT(
      store_->RecordProgress(name, progress, {{"loss", 0.5}}, clock_.Now()),
      IsOk());
  EXPECT_EQ(store_->Get(name)->job.progress().step(), 10);
  EXPECT_THAT(*store_->ListEvents(name, 0, 100), SizeIs(1));
  RETORT_ASSERT_OK_AND_ASSIGN(const auto series,
                              store_->ListMetrics(name, {}, 100));
  ASSERT_THAT(series, SizeIs(1));
  EXPECT_EQ(series[0].name(), "loss");
  EXPECT_EQ(series[0].points(0).value(), 0.5);
}

TEST_F(JobStoreTest, KeepsTheProgressReachedWhenTheStateChanges) {
  const std::string name = Create("a");
  ASSERT_THAT(MoveTo(name, J::STATE_STARTING), IsOk());
  v1::JobProgress progress;
  progress.set_step(10);
  progress.set_loss(0.5);
  progress.set_images_per_second(7);
  progress.mutable_eta()->set_seconds(60);
  ASSERT_THAT(store_->RecordProgress(name, progress, {}, clock_.Now()), IsOk());
  ASSERT_THAT(MoveTo(name, J::STATE_PAUSING), IsOk());
  EXPECT_EQ(store_->Get(name)->job.progress().images_per_second(), 7);
  ASSERT_THAT(MoveTo(name, J::STATE_PAUSED), IsOk());
  Reopen();
  const v1::JobProgress kept = store_->Get(name)->job.progress();
  EXPECT_EQ(kept.step(), 10);
  EXPECT_EQ(kept.loss(), 0.5);
  // Of a speed that it has no more.
  EXPECT_EQ(kept.images_per_second(), 0);
  EXPECT_FALSE(kept.has_eta());
}

TEST_F(JobStoreTest, ThinsSeriesAndKeepsBothEnds) {
  const std::string name = Create("a");
  for (int step = 0; step <= 100; ++step) {
    v1::JobProgress progress;
    progress.set_step(step);
    ASSERT_THAT(store_->RecordProgress(name, progress, {{"loss", step * 1.0}},
                                       clock_.Now()),
                IsOk());
  }
  RETORT_ASSERT_OK_AND_ASSIGN(const auto series,
                              store_->ListMetrics(name, {"loss"}, 5));
  std::vector<int64_t> steps;
  for (const auto& point : series[0].points()) steps.push_back(point.step());
  EXPECT_THAT(steps, ElementsAre(0, 25, 50, 75, 100));
}

TEST_F(JobStoreTest, ListsCheckpointsThatStillLieOnDisk) {
  const std::string name = Create("a");
  const base::JobDir dir(data_dir_.job_dir("a"));
  ASSERT_THAT(base::MakeDirs(dir.checkpoint_dir(1000)), IsOk());
  for (int step : {500, 1000}) {
    v1::Checkpoint checkpoint;
    checkpoint.set_step(step);
    ASSERT_THAT(store_->RecordCheckpoint(name, checkpoint), IsOk());
  }
  RETORT_ASSERT_OK_AND_ASSIGN(const auto checkpoints,
                              store_->ListCheckpoints(name));
  ASSERT_THAT(checkpoints, SizeIs(1));
  EXPECT_EQ(checkpoints[0].step(), 1000);
}

TEST_F(JobStoreTest, FindsACheckpointThatNobodyCouldTellOf) {
  const std::string name = Create("a");
  const base::JobDir dir(data_dir_.job_dir("a"));
  for (int step : {500, 1000}) {
    const std::string path = dir.checkpoint_dir(step);
    ASSERT_THAT(base::MakeDirs(path), IsOk());
    ASSERT_THAT(base::AtomicWriteFile(path + "/manifest.json", "{}"), IsOk());
  }
  v1::Checkpoint told;
  told.set_step(500);
  ASSERT_THAT(store_->RecordCheckpoint(name, told), IsOk());
  const size_t events = store_->ListEvents(name, 0, 100)->size();
  ASSERT_THAT(store_->LookForCheckpoints(name), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const auto checkpoints,
                              store_->ListCheckpoints(name));
  ASSERT_THAT(checkpoints, SizeIs(2));
  EXPECT_EQ(checkpoints[1].step(), 1000);
  EXPECT_EQ(checkpoints[1].bytes(), 2);
  EXPECT_THAT(checkpoints[1].sha256(), SizeIs(64));
  EXPECT_THAT(*store_->ListEvents(name, 0, 100), SizeIs(events + 1));
}

TEST_F(JobStoreTest, ForgivesEarlierLossesAtACheckpoint) {
  const std::string name = Create("a");
  ASSERT_THAT(store_->Update(name,
                             [](JobRecord& record, auto*) {
                               record.failures = 2;
                               return absl::OkStatus();
                             }),
              IsOk());
  ASSERT_THAT(store_->RecordCheckpoint(name, v1::Checkpoint()), IsOk());
  EXPECT_EQ(store_->Get(name)->failures, 0);
}

TEST_F(JobStoreTest, ACheckpointThatIsToldAgainChangesNothing) {
  const std::string name = Create("a");
  v1::Checkpoint checkpoint;
  checkpoint.set_step(500);
  checkpoint.set_sha256("abc");
  ASSERT_THAT(store_->RecordCheckpoint(name, checkpoint), IsOk());
  ASSERT_THAT(store_->Update(name,
                             [](JobRecord& record, auto*) {
                               record.failures = 2;
                               return absl::OkStatus();
                             }),
              IsOk());
  const size_t events = store_->ListEvents(name, 0, 100)->size();
  ASSERT_THAT(store_->RecordCheckpoint(name, checkpoint), IsOk());
  EXPECT_EQ(store_->Get(name)->failures, 2);
  EXPECT_THAT(*store_->ListEvents(name, 0, 100), SizeIs(events));
  checkpoint.set_sha256("other");
  ASSERT_THAT(store_->RecordCheckpoint(name, checkpoint), IsOk());
  EXPECT_EQ(store_->Get(name)->failures, 0);
}

TEST_F(JobStoreTest, DeletesAnEndedJobWithItsFolder) {
  const std::string name = Create("a");
  EXPECT_THAT(store_->Delete(name, ""),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_THAT(MoveTo(name, J::STATE_CANCELLED), IsOk());
  EXPECT_THAT(store_->Delete(name, "stale"),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(store_->Delete(name, store_->Get(name)->job.etag()), IsOk());
  EXPECT_THAT(store_->Get(name), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(base::FileExists(data_dir_.job_dir("a")));
}

TEST_F(JobStoreTest, AListenerHearsOfEachStoredChangeOfAnyJob) {
  class Names : public JobListener {
   public:
    void OnStored(const std::string& name) override { names.push_back(name); }
    std::vector<std::string> names;
  };
  auto listener = std::make_shared<Names>();
  store_->feed()->Listen(listener);
  const std::string a = Create("a"), b = Create("b");
  ASSERT_THAT(store_->RecordProgress(a, v1::JobProgress(), {}, clock_.Now()),
              IsOk());
  ASSERT_THAT(MoveTo(b, J::STATE_CANCELLED), IsOk());
  ASSERT_THAT(store_->Delete(b, ""), IsOk());
  EXPECT_THAT(listener->names, ::testing::ElementsAre(a, b, b, b));
  // One that is gone is not told.
  listener.reset();
  Create("c");
}

TEST_F(JobStoreTest, TellsWatchersOfEachChange) {
  class Counter : public JobWatcher {
   public:
    void OnNews() override { ++news; }
    int news = 0;
  };
  const std::string name = Create("a");
  auto watcher = std::make_shared<Counter>();
  store_->feed()->Subscribe(name, watcher);
  ASSERT_THAT(MoveTo(name, J::STATE_STARTING), IsOk());
  EXPECT_EQ(watcher->news, 1);
  store_->feed()->Unsubscribe(name, watcher.get());
  ASSERT_THAT(MoveTo(name, J::STATE_RUNNING), IsOk());
  EXPECT_EQ(watcher->news, 1);
}

JobFilter Filter(const std::string& text) {
  auto filter = JobFilter::Parse(text);
  EXPECT_THAT(filter, IsOk());
  return filter.value_or(JobFilter());
}

TEST_F(JobStoreTest, PagesThroughAFilteredListAndMissesNothing) {
  std::vector<std::string> expected;
  for (int i = 0; i < 600; ++i) {
    NewJob job = MakeJob(absl::StrCat("j", i));
    if (i % 200 == 7) {
      (*job.job.mutable_labels())["pick"] = "me";
      expected.insert(expected.begin(),
                      absl::StrCat("projects/default/jobs/j", i));
    }
    ASSERT_THAT(store_->CreateJob(job), IsOk());
  }
  const JobFilter filter = Filter("labels.pick = me");
  std::vector<std::string> found;
  std::string token;
  int pages = 0;
  do {
    RETORT_ASSERT_OK_AND_ASSIGN(const JobPage page,
                                store_->List("default", {}, filter, 2, token));
    for (const v1::Job& job : page.jobs) found.push_back(job.name());
    token = page.next_page_token;
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(found, expected);
  EXPECT_EQ(pages, 2);
}

TEST_F(JobStoreTest, APageOfAnotherFilterIsRefused) {
  Create("a");
  Create("b");
  RETORT_ASSERT_OK_AND_ASSIGN(
      const JobPage page,
      store_->List("default", {}, Filter("priority < 9"), 1, ""));
  ASSERT_NE(page.next_page_token, "");
  EXPECT_THAT(store_->List("default", {}, Filter("priority < 8"), 1,
                           page.next_page_token),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(JobStoreTest, AFiltersStatesNarrowThoseAskedFor) {
  Create("a");
  ASSERT_THAT(MoveTo(Create("b"), J::STATE_PAUSED), IsOk());
  const std::vector<State> both = {J::STATE_QUEUED, J::STATE_PAUSED};
  RETORT_ASSERT_OK_AND_ASSIGN(
      JobPage page,
      store_->List("default", both, Filter("state = paused"), 0, ""));
  ASSERT_THAT(page.jobs, SizeIs(1));
  EXPECT_EQ(page.jobs[0].name(), "projects/default/jobs/b");
  RETORT_ASSERT_OK_AND_ASSIGN(
      page, store_->List("default", {J::STATE_QUEUED}, Filter("state = paused"),
                         0, ""));
  EXPECT_THAT(page.jobs, SizeIs(0));
}

TEST_F(JobStoreTest, KeepsTheSpecAsItWasSubmitted) {
  NewJob job = MakeJob("a");
  job.submitted.mutable_train_teacher()->set_p_std(2);
  ASSERT_THAT(store_->CreateJob(job), IsOk());
  Reopen();
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::JobSpec spec,
                              store_->SubmittedSpec("projects/default/jobs/a"));
  EXPECT_EQ(spec.train_teacher().p_std(), 2);
  EXPECT_FALSE(spec.train_teacher().has_training());
}

}  // namespace
}  // namespace retort::jobs
