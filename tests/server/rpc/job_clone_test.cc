// CloneJob, and jobs that go back to one of their checkpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/file.h"
#include "server/base/error.h"
#include "server/rpc/job_service.h"
#include "server/rpc/status.h"
#include "tests/server/rpc/job_service_fixture.h"
#include "tests/support/status_matchers.h"

namespace retort::rpc {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using J = v1::Job;

class JobCloneTest : public JobServiceFixture {
 protected:
  absl::StatusOr<v1::Job> Clone(const v1::CloneJobRequest& request) {
    grpc::ClientContext context;
    v1::Job job;
    const absl::Status status =
        FromGrpc(stub_->CloneJob(&context, request, &job));
    if (!status.ok()) return status;
    return job;
  }
  // A checkpoint as a worker writes one.
  void AddCheckpoint(const std::string& id, int64_t step) {
    const std::string dir =
        base::JobDir(data_dir_.job_dir(id)).checkpoint_dir(step);
    ASSERT_THAT(base::MakeDirs(dir), IsOk());
    ASSERT_THAT(base::AtomicWriteFile(base::JobDir::CheckpointManifestPath(dir),
                                      R"({"files": {}})"),
                IsOk());
    v1::Checkpoint checkpoint;
    checkpoint.set_step(step);
    ASSERT_THAT(
        store_->RecordCheckpoint("projects/default/jobs/" + id, checkpoint),
        IsOk());
  }
  static v1::CloneJobRequest CloneRequest(const std::string& old,
                                          const std::string& id) {
    v1::CloneJobRequest request;
    request.set_name(old);
    request.set_job_id(id);
    return request;
  }
};

TEST_F(JobCloneTest, AClonesDefaultsFollowItsChanges) {
  const v1::Job old = CreateStudent("old");
  ASSERT_EQ(old.spec().distill().max_ode_steps(), 9);
  v1::CloneJobRequest request = CloneRequest(old.name(), "new");
  request.mutable_changes()->mutable_spec()->mutable_distill()->set_grid_size(
      6);
  request.mutable_update_mask()->add_paths("spec.distill.grid_size");
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job clone, Clone(request));
  EXPECT_EQ(clone.name(), "projects/default/jobs/new");
  EXPECT_EQ(clone.state(), J::STATE_QUEUED);
  EXPECT_EQ(clone.spec().distill().grid_size(), 6);
  EXPECT_EQ(clone.spec().distill().max_ode_steps(), 5);
  EXPECT_EQ(clone.labels().at("team"), "vision");
  EXPECT_FALSE(clone.has_origin());
}

TEST_F(JobCloneTest, AClonesSpecIsCheckedAsAnyOther) {
  const v1::Job old = CreateStudent("old");
  v1::CloneJobRequest request = CloneRequest(old.name(), "new");
  request.mutable_changes()
      ->mutable_spec()
      ->mutable_distill()
      ->mutable_training()
      ->set_batch_size(-1);
  request.mutable_update_mask()->add_paths("spec.distill.training.batch_size");
  const absl::Status status = Clone(request).status();
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_SPEC_INVALID);
  EXPECT_EQ(service::FieldViolationsOf(status)[0].field,
            "job.spec.distill.training.batch_size");
  EXPECT_THAT(Clone(CloneRequest("projects/default/jobs/nobody", "new")),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Clone(CloneRequest(old.name(), "old")),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(JobCloneTest, AValidatedCloneIsNoJob) {
  const v1::Job old = CreateStudent("old");
  v1::CloneJobRequest request = CloneRequest(old.name(), "new");
  request.set_validate_only(true);
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job clone, Clone(request));
  EXPECT_TRUE(clone.has_estimate());
  EXPECT_THAT(store_->ListLive()->size(), 1u);
}

TEST_F(JobCloneTest, ACloneKnowsTheCheckpointThatItBeganWith) {
  const v1::Job old = CreateStudent("old");
  AddCheckpoint("old", 4);
  v1::CloneJobRequest request = CloneRequest(old.name(), "new");
  request.set_from_step(4);
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job clone, Clone(request));
  EXPECT_EQ(clone.origin().job(), old.name());
  EXPECT_EQ(clone.origin().step(), 4);
  EXPECT_TRUE(base::FileExists(base::JobDir::CheckpointManifestPath(
      base::JobDir(data_dir_.job_dir("new")).start_dir())));
  request.set_job_id("newer");
  request.set_from_step(5);
  EXPECT_THAT(Clone(request), StatusIs(absl::StatusCode::kNotFound,
                                       HasSubstr("those of steps 4")));
  // Nothing would be left to do.
  request.set_from_step(4);
  request.mutable_changes()
      ->mutable_spec()
      ->mutable_distill()
      ->mutable_training()
      ->set_iterations(4);
  request.mutable_update_mask()->add_paths("spec.distill.training.iterations");
  EXPECT_THAT(Clone(request), StatusIs(absl::StatusCode::kInvalidArgument,
                                       HasSubstr("iterations")));
}

TEST_F(JobCloneTest, ARepeatedCloneIsAnsweredThoughTheOldJobIsGone) {
  const v1::Job old = CreateStudent("old");
  v1::CloneJobRequest request = CloneRequest(old.name(), "");
  request.set_request_id("r");
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job first, Clone(request));
  ASSERT_THAT(MoveTo(old.name(), J::STATE_CANCELLED), IsOk());
  ASSERT_THAT(store_->Delete(old.name(), ""), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job second, Clone(request));
  EXPECT_EQ(first.name(), second.name());
  request.set_from_step(1);
  EXPECT_EQ(service::ReasonOf(Clone(request).status()),
            v1::ERROR_REASON_REQUEST_ID_REUSED);
}

TEST_F(JobCloneTest, ResumesFromAnEarlierCheckpointOnlyAJobThatStandsStill) {
  const v1::Job job = CreateStudent("a");
  AddCheckpoint("a", 2);
  AddCheckpoint("a", 4);
  grpc::ClientContext refused, taken;
  v1::ResumeJobRequest request;
  request.set_name(job.name());
  request.set_from_step(2);
  v1::Job resumed;
  EXPECT_EQ(service::ReasonOf(
                FromGrpc(stub_->ResumeJob(&refused, request, &resumed))),
            v1::ERROR_REASON_STATE_CONFLICT);
  EXPECT_THAT(*store_->ListCheckpoints(job.name()), SizeIs(2));
  ASSERT_THAT(MoveTo(job.name(), J::STATE_PAUSED), IsOk());
  ASSERT_THAT(FromGrpc(stub_->ResumeJob(&taken, request, &resumed)), IsOk());
  EXPECT_THAT(resumed.state_reason(), HasSubstr("checkpoint of step 2"));
  EXPECT_THAT(*store_->ListCheckpoints(job.name()), SizeIs(1));
}

}  // namespace
}  // namespace retort::rpc
