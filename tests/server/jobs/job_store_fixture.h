#ifndef RETORT_TESTS_SERVER_JOBS_JOB_STORE_FIXTURE_H_
#define RETORT_TESTS_SERVER_JOBS_JOB_STORE_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "server/jobs/job_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::jobs {

// A job store in a folder of its own.
class JobStoreFixture : public ::testing::Test {
 protected:
  void SetUp() override { Reopen(); }

  // As a restart of the service does.
  void Reopen() {
    store_.reset();
    db_.reset();
    auto db = db::Database::Open(data_dir_.db_path());
    ASSERT_THAT(db, retort::testing::IsOk());
    db_ = *std::move(db);
    auto store = JobStore::Create(db_.get(), &clock_, data_dir_);
    ASSERT_THAT(store, retort::testing::IsOk());
    store_ = *std::move(store);
  }

  static NewJob MakeJob(const std::string& id) {
    NewJob job;
    job.project = "default";
    job.job_id = id;
    job.job.mutable_spec()
        ->mutable_train_teacher()
        ->mutable_training()
        ->set_iterations(100);
    return job;
  }
  std::string Create(const std::string& id) {
    auto job = store_->CreateJob(MakeJob(id));
    EXPECT_THAT(job, retort::testing::IsOk());
    return job.ok() ? job->name() : "";
  }
  absl::Status MoveTo(const std::string& name, State state) {
    return store_
        ->Update(name,
                 [&](JobRecord& record, auto*) {
                   record.job.set_state(state);
                   return absl::OkStatus();
                 })
        .status();
  }
  State StateOf(const std::string& name) {
    auto record = store_->Get(name);
    return record.ok() ? record->job.state() : v1::Job::STATE_UNSPECIFIED;
  }

  retort::testing::TempDir dir_;
  const base::DataDir data_dir_{dir_.path()};
  retort::testing::FakeClock clock_;
  std::unique_ptr<db::Database> db_;
  std::unique_ptr<JobStore> store_;
};

}  // namespace retort::jobs

#endif  // RETORT_TESTS_SERVER_JOBS_JOB_STORE_FIXTURE_H_
