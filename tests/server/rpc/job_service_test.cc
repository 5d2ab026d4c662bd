#include "server/rpc/job_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "server/base/error.h"
#include "server/jobs/timestamps.h"
#include "server/rpc/status.h"
#include "tests/server/rpc/job_service_fixture.h"
#include "tests/server/rpc/not_there_yet.h"
#include "tests/support/status_matchers.h"

namespace retort::rpc {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using J = v1::Job;

class JobServiceTest : public JobServiceFixture {};

TEST_F(JobServiceTest, CreatesAJobWithItsSpecResolved) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(Request("a")));
  EXPECT_EQ(job.name(), "projects/default/jobs/a");
  EXPECT_EQ(job.state(), J::STATE_QUEUED);
  EXPECT_EQ(job.spec().train_teacher().training().batch_size(), 64);
  EXPECT_EQ(job.etag(), store_->Get(job.name())->job.etag());
}

TEST_F(JobServiceTest, MakesNoJobWhenOnlyValidating) {
  v1::CreateJobRequest request = Request("a");
  request.set_validate_only(true);
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(request));
  EXPECT_EQ(job.spec().train_teacher().training().batch_size(), 64);
  EXPECT_THAT(store_->ListLive()->size(), 0u);
}

TEST_F(JobServiceTest, SaysWhatAValidatedJobTakes) {
  estimator_ = [](const v1::JobSpec& spec, bool measure,
                  const std::function<bool()>&) {
    v1::JobEstimate estimate;
    estimate.set_images_per_process(
        spec.train_teacher().training().batch_size());
    estimate.set_seconds_per_step(measure ? 2 : 0);
    return estimate;
  };
  v1::CreateJobRequest request = Request("a");
  request.set_validate_only(true);
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job sizes, Create(request));
  EXPECT_EQ(sizes.estimate().images_per_process(), 64);
  EXPECT_EQ(sizes.estimate().seconds_per_step(), 0);
  request.set_measure(true);
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job measured, Create(request));
  EXPECT_EQ(measured.estimate().seconds_per_step(), 2);
  EXPECT_THAT(store_->ListLive()->size(), 0u);
}

TEST_F(JobServiceTest, MeasuresOnlyWhatIsOnlyValidated) {
  v1::CreateJobRequest request = Request("a");
  request.set_measure(true);
  EXPECT_THAT(Create(request), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("validate_only")));
}

TEST_F(JobServiceTest, SendsWhyAJobCannotBeEstimated) {
  estimator_ =
      [](const v1::JobSpec&, bool,
         const std::function<bool()>&) -> absl::StatusOr<v1::JobEstimate> {
    return absl::ResourceExhaustedError("one step needs 10 GiB");
  };
  v1::CreateJobRequest request = Request("a");
  request.set_validate_only(true);
  EXPECT_THAT(Create(request), StatusIs(absl::StatusCode::kResourceExhausted,
                                        HasSubstr("10 GiB")));
}

TEST_F(JobServiceTest, StopsAMeasurementWhoseCallerIsGone) {
  absl::Notification started, stopped;
  estimator_ = [&](const v1::JobSpec&, bool,
                   const std::function<bool()>& stop) {
    started.Notify();
    while (!stop()) std::this_thread::yield();
    stopped.Notify();
    return v1::JobEstimate();
  };
  v1::CreateJobRequest request = Request("a");
  request.set_validate_only(true);
  request.set_measure(true);
  grpc::ClientContext context;
  std::thread canceller([&] {
    started.WaitForNotification();
    context.TryCancel();
  });
  v1::Job job;
  EXPECT_EQ(stub_->CreateJob(&context, request, &job).error_code(),
            grpc::StatusCode::CANCELLED);
  stopped.WaitForNotification();
  canceller.join();
}

TEST_F(JobServiceTest, RefusesAnIdUnderWhichThereIsAModelAlready) {
  models_.Add("projects/default/models/a", v1::Model::KIND_CTM);
  v1::CreateJobRequest request = Request("a");
  for (const bool validate_only : {true, false}) {
    request.set_validate_only(validate_only);
    const absl::Status status = Create(request).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kAlreadyExists,
                                 HasSubstr("choose another job_id")));
    EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_ALREADY_EXISTS);
  }
  // An evaluation makes none.
  models_.Add("projects/default/models/f", v1::Model::KIND_FEATURE_EXTRACTOR);
  auto* evaluate = request.mutable_job()->mutable_spec()->mutable_evaluate();
  evaluate->set_model("projects/default/models/a");
  evaluate->set_feature_extractor("projects/default/models/f");
  EXPECT_THAT(Create(request), IsOk());
}

TEST_F(JobServiceTest, SendsWhatIsWrongWithASpecFieldByField) {
  v1::CreateJobRequest request = Request("a");
  request.mutable_job()->mutable_spec()->mutable_train_teacher()->set_p_std(-1);
  const absl::Status status = Create(request).status();
  EXPECT_THAT(status,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("p_std")));
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_SPEC_INVALID);
  EXPECT_EQ(service::FieldViolationsOf(status)[0].field,
            "job.spec.train_teacher.p_std");
}

TEST_F(JobServiceTest, TellsARepeatedRequestFromAReusedId) {
  v1::CreateJobRequest request = Request("");
  request.set_request_id("r");
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job first, Create(request));
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job second, Create(request));
  EXPECT_EQ(first.name(), second.name());
  request.mutable_job()->set_priority(5);
  const absl::Status status = Create(request).status();
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_REQUEST_ID_REUSED);
}

TEST_F(JobServiceTest, StreamsEventsFromANumberUntilTheJobHasEnded) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(Request("a")));
  ASSERT_THAT(MoveTo(job.name(), J::STATE_STARTING), IsOk());
  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_name(job.name());
  request.set_from_event(2);
  auto stream = stub_->WatchJob(&context, request);
  v1::WatchJobResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.job().state(), J::STATE_STARTING);
  v1::JobProgress progress;
  progress.set_step(3);
  ASSERT_THAT(store_->RecordProgress(job.name(), progress, {}, clock_.Now()),
              IsOk());
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.event().kind(), v1::JobEvent::KIND_PROGRESS);
  EXPECT_EQ(response.event().number(), 2);
  EXPECT_EQ(response.job().progress().step(), 3);
  ASSERT_THAT(MoveTo(job.name(), J::STATE_FAILED), IsOk());
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.event().number(), 3);
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(JobServiceTest, EndsAWatchThatTheCallerGivesUp) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(Request("a")));
  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_name(job.name());
  auto stream = stub_->WatchJob(&context, request);
  v1::WatchJobResponse response;
  ASSERT_TRUE(stream->Read(&response));
  context.TryCancel();
  while (stream->Read(&response)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(JobServiceTest, RefusesToWatchAJobThatIsNotThere) {
  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_name("projects/default/jobs/nobody");
  auto stream = stub_->WatchJob(&context, request);
  v1::WatchJobResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_THAT(FromGrpc(stream->Finish()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(JobServiceTest, FollowsALogUntilTheJobHasEnded) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(Request("a")));
  const std::string log = base::JobDir(data_dir_.job_dir("a")).log_path();
  std::ofstream(log) << "one\n";
  grpc::ClientContext context;
  v1::StreamLogsRequest request;
  request.set_name(job.name());
  request.set_follow(true);
  auto stream = stub_->StreamLogs(&context, request);
  v1::StreamLogsResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_THAT(response.lines(), ElementsAre("one"));
  std::ofstream(log, std::ios::app) << "two";
  ASSERT_THAT(MoveTo(job.name(), J::STATE_CANCELLED), IsOk());
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_THAT(response.lines(), ElementsAre("two"));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(JobServiceTest, PausesAndResumesAJob) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(Request("a")));
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job paused, Pause(job.name()));
  EXPECT_EQ(paused.state(), J::STATE_PAUSED);
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job resumed, Resume(job.name()));
  EXPECT_EQ(resumed.state(), J::STATE_QUEUED);
  const absl::Status again = Resume(job.name()).status();
  EXPECT_THAT(again, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(service::ReasonOf(again), v1::ERROR_REASON_STATE_CONFLICT);
  const std::string nobody = "projects/default/jobs/nobody";
  EXPECT_THAT(Pause(nobody), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Resume(nobody), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Pause("nobody"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Resume("nobody"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(JobServiceTest, ResumesNoJobWhoseModelsNameIsTakenMeanwhile) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(Request("a")));
  ASSERT_THAT(MoveTo(job.name(), J::STATE_CANCELLED), IsOk());
  models_.Add("projects/default/models/a", v1::Model::KIND_CTM);
  const absl::Status status = Resume(job.name()).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAlreadyExists,
                               HasSubstr("delete that model first")));
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_ALREADY_EXISTS);
  EXPECT_EQ(store_->Get(job.name())->job.state(), J::STATE_CANCELLED);
}

TEST_F(JobServiceTest, ResumesNoJobWhoseTeacherIsGone) {
  jobs::NewJob job;
  job.project = "default";
  job.job_id = "a";
  job.job.mutable_spec()->mutable_distill()->set_teacher(
      "projects/default/models/t");
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job created, store_->CreateJob(job));
  ASSERT_THAT(MoveTo(created.name(), J::STATE_FAILED), IsOk());
  EXPECT_THAT(Resume(created.name()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("models/t")));
  models_.Add("projects/default/models/t", v1::Model::KIND_TEACHER);
  EXPECT_THAT(Resume(created.name()), IsOk());
}

TEST_F(JobServiceTest, ResumesNoJobThatWouldGoOnWithAnotherTeacher) {
  v1::Model teacher;
  teacher.set_name("projects/default/models/t");
  *teacher.mutable_create_time() = jobs::ToTimestamp(clock_.Now());
  models_.Add(teacher);
  jobs::NewJob job;
  job.project = "default";
  job.job_id = "a";
  job.job.mutable_spec()->mutable_distill()->set_teacher(teacher.name());
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job created, store_->CreateJob(job));
  ASSERT_THAT(MoveTo(created.name(), J::STATE_FAILED), IsOk());
  ASSERT_THAT(Resume(created.name()), IsOk());
  ASSERT_THAT(MoveTo(created.name(), J::STATE_CANCELLED), IsOk());
  clock_.Advance(absl::Seconds(1));
  *teacher.mutable_create_time() = jobs::ToTimestamp(clock_.Now());
  models_.Add(teacher);
  const absl::Status status = Resume(created.name()).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("submit a new job")));
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_STATE_CONFLICT);
}

TEST_F(JobServiceTest, AJobWithAModelOfItsOwnHasSucceededAndIsNotResumed) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(Request("a")));
  for (const jobs::State state :
       {J::STATE_STARTING, J::STATE_RUNNING, J::STATE_SUCCEEDED}) {
    ASSERT_THAT(MoveTo(job.name(), state), IsOk());
  }
  models_.Add("projects/default/models/a", v1::Model::KIND_TEACHER);
  EXPECT_EQ(service::ReasonOf(Resume(job.name()).status()),
            v1::ERROR_REASON_STATE_CONFLICT);
}

TEST_F(JobServiceTest, ListsWhatAFilterHoldsFor) {
  CreateStudent("student");
  ASSERT_THAT(Create(Request("teacher")), IsOk());
  v1::ListJobsRequest request;
  request.set_parent("projects/default");
  request.set_filter("task = distill AND labels.team = vision");
  v1::ListJobsResponse response;
  grpc::ClientContext listed, refused;
  ASSERT_THAT(FromGrpc(stub_->ListJobs(&listed, request, &response)), IsOk());
  ASSERT_THAT(response.jobs(), SizeIs(1));
  EXPECT_EQ(response.jobs(0).name(), "projects/default/jobs/student");
  request.set_filter("task ~ distill");
  const absl::Status status =
      FromGrpc(stub_->ListJobs(&refused, request, &response));
  EXPECT_EQ(service::FieldViolationsOf(status)[0].field, "filter");
}

TEST_F(JobServiceTest, DeletesNoJobThatChangedSinceItWasRead) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(Request("a")));
  ASSERT_THAT(MoveTo(job.name(), J::STATE_CANCELLED), IsOk());
  v1::DeleteJobRequest request;
  request.set_name(job.name());
  request.set_etag(job.etag());
  google::protobuf::Empty nothing;
  grpc::ClientContext refused, deleted;
  const absl::Status status =
      FromGrpc(stub_->DeleteJob(&refused, request, &nothing));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_ETAG_MISMATCH);
  request.set_etag(store_->Get(job.name())->job.etag());
  EXPECT_THAT(FromGrpc(stub_->DeleteJob(&deleted, request, &nothing)), IsOk());
}

TEST_F(JobServiceTest, GoesOnWithALogWhereABrokenStreamWas) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(Request("a")));
  std::ofstream(base::JobDir(data_dir_.job_dir("a")).log_path())
      << "one\ntwo\nthree\n";
  v1::StreamLogsRequest request;
  request.set_name(job.name());
  request.set_from_byte(4);
  grpc::ClientContext context;
  const auto stream = stub_->StreamLogs(&context, request);
  v1::StreamLogsResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_THAT(response.lines(), ElementsAre("two", "three"));
  EXPECT_EQ(response.next_byte(), 14);
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(JobServiceTest, OneWhoFollowsALogHearsAtOnceThatItIsEmpty) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(Request("a")));
  v1::StreamLogsRequest request;
  request.set_name(job.name());
  request.set_follow(true);
  grpc::ClientContext context;
  const auto stream = stub_->StreamLogs(&context, request);
  v1::StreamLogsResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_THAT(response.lines(), SizeIs(0));
  context.TryCancel();
  while (stream->Read(&response)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(JobServiceTest, AJobIsOfClassNormalUnlessItSaysOtherwise) {
  EXPECT_EQ(Create(Request("a"))->priority_class(), J::PRIORITY_CLASS_NORMAL);
  v1::CreateJobRequest request = Request("b");
  request.mutable_job()->set_priority_class(J::PRIORITY_CLASS_LOW);
  EXPECT_EQ(Create(request)->priority_class(), J::PRIORITY_CLASS_LOW);
  request = Request("c");
  request.mutable_job()->set_priority_class(static_cast<J::PriorityClass>(9));
  EXPECT_THAT(Create(request), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("job.priority_class")));
}

TEST_F(JobServiceTest, RefusesAtOnceWhatCanNeverStartHere) {
  v1::CreateJobRequest request = Request("a");
  auto* resources = request.mutable_job()->mutable_spec()->mutable_resources();
  resources->set_world_size(4);
  const absl::Status refused = Create(request).status();
  EXPECT_THAT(refused,
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("can never start here: needs 4 CPU slots, "
                                 "but the service has 2")));
  EXPECT_EQ(service::ReasonOf(refused), v1::ERROR_REASON_SPEC_INVALID);
  request.set_validate_only(true);
  EXPECT_EQ(Create(request).status(), refused);
}

TEST_F(JobServiceTest, ExplainsWhyAJobWaits) {
  const auto explain = [&](const std::string& name) {
    grpc::ClientContext context;
    v1::ExplainQueueRequest request;
    request.set_name(name);
    v1::ExplainQueueResponse response;
    EXPECT_THAT(FromGrpc(stub_->ExplainQueue(&context, request, &response)),
                IsOk());
    return response;
  };
  const std::string first = Create(Request("a"))->name();
  const std::string second = Create(Request("b"))->name();
  scheduler_->RunOnce();
  EXPECT_EQ(explain(first).explanation(), "does not wait: it is STARTING");
  const v1::ExplainQueueResponse why = explain(second);
  EXPECT_EQ(why.reason(), v1::ExplainQueueResponse::REASON_FIRST);
  EXPECT_THAT(why.explanation(),
              HasSubstr("waits for a node with 2 free CPU slots (0 now)"));
  EXPECT_FALSE(why.has_earliest_start_time());
  grpc::ClientContext context;
  v1::ExplainQueueRequest unknown;
  unknown.set_name("projects/default/jobs/nobody");
  v1::ExplainQueueResponse response;
  EXPECT_THAT(FromGrpc(stub_->ExplainQueue(&context, unknown, &response)),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(JobServiceTest, AnswersWhatIsNotThereYetWithAReason) {
  EXPECT_THAT(
      MethodsNotThereYet(server_.get(), v1::JobService::service_full_name()),
      ::testing::IsEmpty());
}

}  // namespace
}  // namespace retort::rpc
