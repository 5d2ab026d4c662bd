#include "server/rpc/job_service.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/auth/guard.h"
#include "server/base/error.h"
#include "server/base/resource_name.h"
#include "server/jobs/clone_changes.h"
#include "server/jobs/job_filter.h"
#include "server/jobs/spec_hash.h"
#include "server/rpc/call_guard.h"
#include "server/rpc/queue_answers.h"
#include "server/rpc/refused_stream.h"
#include "server/rpc/status.h"
#include "server/rpc/stream_logs_reactor.h"
#include "server/rpc/unary_reactor.h"
#include "server/rpc/watch_job_reactor.h"
#include "server/scheduler/job_facts.h"

namespace retort::rpc {
namespace {

constexpr int kDefaultMaxPoints = 1000;
constexpr int kMaxMaxPoints = 100000;
constexpr size_t kMaxDisplayName = 200;
constexpr size_t kMaxLabels = 64;
constexpr size_t kMaxLabelBytes = 256;

absl::Status CheckName(const std::string& name) {
  return service::ParseName(service::kJobs, name).status();
}

absl::Status CheckTexts(const v1::Job& job) {
  if (job.display_name().size() > kMaxDisplayName) {
    return service::BadField(
        "job.display_name",
        absl::StrCat("has ", job.display_name().size(), " bytes; at most ",
                     kMaxDisplayName, " are allowed"));
  }
  if (job.labels().size() > kMaxLabels) {
    return service::BadField(
        "job.labels", absl::StrCat("has more than ", kMaxLabels, " labels"));
  }
  for (const auto& [key, value] : job.labels()) {
    if (key.empty() || key.size() + value.size() > kMaxLabelBytes) {
      return service::BadField(
          "job.labels", absl::StrCat("a label has an empty key or more than ",
                                     kMaxLabelBytes, " bytes"));
    }
  }
  return absl::OkStatus();
}

// Requests are the same if they differ in nothing but their id.
template <typename Request>
std::string Fingerprint(Request request) {
  request.clear_request_id();
  return jobs::SpecSha256(request);
}

absl::Status CheckClass(const v1::Job& job) {
  if (v1::Job::PriorityClass_IsValid(job.priority_class())) {
    return absl::OkStatus();
  }
  return service::BadField(
      "job.priority_class",
      absl::StrCat(int{job.priority_class()},
                   " is no class; use LOW, NORMAL or HIGH"));
}

void SetDefaultClass(v1::Job* job) {
  if (job->priority_class() == v1::Job::PRIORITY_CLASS_UNSPECIFIED) {
    job->set_priority_class(v1::Job::PRIORITY_CLASS_NORMAL);
  }
}

}  // namespace

grpc::ServerUnaryReactor* JobService::CreateJob(
    grpc::CallbackServerContext* context, const v1::CreateJobRequest* request,
    v1::Job* response) {
  if (request->measure() && !request->validate_only()) {
    return Answer(context, "JobService/CreateJob", metrics_, [] {
      return service::BadField("measure",
                               "goes with validate_only; set that too");
    });
  }
  if (request->validate_only() && estimator_) {
    absl::Status valid = MayCall(*context);
    if (valid.ok()) valid = DoCreate(*request, response);
    return Estimate(context, "JobService/CreateJob", valid, request->measure(),
                    response);
  }
  return Answer(context, "JobService/CreateJob", metrics_,
                [&] { return DoCreate(*request, response); });
}

grpc::ServerUnaryReactor* JobService::CloneJob(
    grpc::CallbackServerContext* context, const v1::CloneJobRequest* request,
    v1::Job* response) {
  if (request->validate_only() && estimator_) {
    absl::Status valid = MayCall(*context);
    if (valid.ok()) valid = DoClone(*CallerOf(*context), *request, response);
    return Estimate(context, "JobService/CloneJob", valid, /*measure=*/false,
                    response);
  }
  return Answer(context, "JobService/CloneJob", metrics_, [&] {
    return DoClone(*CallerOf(*context), *request, response);
  });
}

grpc::ServerUnaryReactor* JobService::Estimate(
    grpc::CallbackServerContext* context, const char* method_name,
    const absl::Status& valid, bool measure, v1::Job* response) {
  auto call = DeferredCall::Create(context, method_name, metrics_);
  grpc::ServerUnaryReactor* reactor = call->reactor();
  if (!valid.ok()) {
    call->Finish(valid);
    return reactor;
  }
  auto given_up = std::make_shared<std::atomic<bool>>(false);
  call->OnCancel([given_up] { *given_up = true; });
  WorkThread& thread = measure ? measures_ : sizes_;
  thread.Schedule([this, call, given_up, measure, response] {
    const auto stop = [&] { return *given_up || stopping_; };
    if (stop()) return call->Finish(absl::CancelledError("given up"));
    auto estimate = estimator_(response->spec(), measure, stop);
    if (estimate.ok()) *response->mutable_estimate() = *std::move(estimate);
    call->Finish(estimate.status());
  });
  return reactor;
}

absl::Status JobService::DoCreate(const v1::CreateJobRequest& request,
                                  v1::Job* response) {
  jobs::NewJob ids;
  RETORT_ASSIGN_OR_RETURN(ids.project, service::ParseParent(request.parent()));
  ids.job_id = request.job_id();
  ids.request_id = request.request_id();
  ids.request_fingerprint = Fingerprint(request);
  const auto fill_in = [&](jobs::NewJob* new_job) -> absl::Status {
    RETORT_RETURN_IF_ERROR(CheckTexts(request.job()));
    RETORT_RETURN_IF_ERROR(CheckClass(request.job()));
    new_job->job.set_display_name(request.job().display_name());
    new_job->job.set_priority(request.job().priority());
    new_job->job.set_priority_class(request.job().priority_class());
    *new_job->job.mutable_labels() = request.job().labels();
    *new_job->job.mutable_spec() = request.job().spec();
    new_job->submitted = request.job().spec();
    return resolver_->Resolve(new_job->job.mutable_spec());
  };
  return Submit(std::move(ids), request.validate_only(), fill_in, response);
}

absl::Status JobService::DoClone(const auth::Caller& caller,
                                 const v1::CloneJobRequest& request,
                                 v1::Job* response) {
  jobs::NewJob ids;
  RETORT_ASSIGN_OR_RETURN(const service::ResourceName old,
                          service::ParseName(service::kJobs, request.name()));
  ids.project = old.project;
  ids.job_id = request.job_id();
  ids.request_id = request.request_id();
  ids.request_fingerprint = absl::StrCat("clone ", Fingerprint(request));
  return Submit(
      std::move(ids), request.validate_only(),
      [&](jobs::NewJob* clone) { return FillInClone(caller, request, clone); },
      response);
}

absl::Status JobService::FillInClone(const auth::Caller& caller,
                                     const v1::CloneJobRequest& request,
                                     jobs::NewJob* clone) {
  RETORT_ASSIGN_OR_RETURN(const jobs::JobRecord old,
                          store_->Get(request.name()));
  v1::Job job;
  job.set_display_name(old.job.display_name());
  job.set_priority(old.job.priority());
  job.set_priority_class(old.job.priority_class());
  *job.mutable_labels() = old.job.labels();
  // Not the resolved spec: a default may be another one once a field changes.
  RETORT_ASSIGN_OR_RETURN(*job.mutable_spec(),
                          store_->SubmittedSpec(request.name()));
  RETORT_RETURN_IF_ERROR(
      jobs::ApplyChanges(request.changes(), request.update_mask(), &job));
  RETORT_RETURN_IF_ERROR(CheckTexts(job));
  RETORT_RETURN_IF_ERROR(CheckClass(job));
  // What is not in the request comes from a job that somebody else may have
  // submitted.
  RETORT_RETURN_IF_ERROR(auth::MayReferTo(caller, clone->project, job));
  clone->submitted = job.spec();
  RETORT_RETURN_IF_ERROR(resolver_->Resolve(job.mutable_spec()));
  if (request.has_from_step()) {
    const int64_t step = request.from_step();
    RETORT_ASSIGN_OR_RETURN(const v1::Checkpoint checkpoint,
                            store_->FindCheckpoint(request.name(), step));
    clone->start_sha256 = checkpoint.sha256();
    RETORT_RETURN_IF_ERROR(
        resolver_->CheckCanGoOn(old.job.spec(), step, job.spec()));
    clone->start_from =
        store_->DirOf(*service::ParseName(service::kJobs, request.name()))
            .checkpoint_dir(step);
    job.mutable_origin()->set_job(request.name());
    job.mutable_origin()->set_step(step);
  }
  clone->job = std::move(job);
  return absl::OkStatus();
}

absl::Status JobService::Submit(
    jobs::NewJob new_job, bool validate_only,
    const std::function<absl::Status(jobs::NewJob*)>& fill_in,
    v1::Job* response) {
  if (!new_job.job_id.empty()) {
    RETORT_RETURN_IF_ERROR(service::ValidateId(new_job.job_id, "job_id"));
  }
  absl::MutexLock lock(store_->models_mutex());
  // A repeated request is answered even if its models are gone by now. Under
  // the lock: else a repetition that comes while the first one is at work would
  // find its id taken.
  if (!new_job.request_id.empty() && !validate_only) {
    absl::StatusOr<v1::Job> earlier = store_->FindByRequest(new_job);
    if (!absl::IsNotFound(earlier.status())) {
      RETORT_ASSIGN_OR_RETURN(*response, std::move(earlier));
      return absl::OkStatus();
    }
  }
  RETORT_RETURN_IF_ERROR(fill_in(&new_job));
  SetDefaultClass(&new_job.job);
  RETORT_RETURN_IF_ERROR(CheckPossible(new_job));
  if (!new_job.job_id.empty()) {
    RETORT_RETURN_IF_ERROR(store_->CheckIsNew(
        service::ResourceName{new_job.project, service::kJobs, new_job.job_id}
            .ToString()));
  }
  RETORT_RETURN_IF_ERROR(resolver_->CheckModelIsNew(
      new_job.project, new_job.job_id, new_job.job.spec()));
  if (validate_only) {
    *response = new_job.job;
    return absl::OkStatus();
  }
  RETORT_ASSIGN_OR_RETURN(*response, store_->CreateJob(new_job));
  scheduler_->Wake();
  return absl::OkStatus();
}

absl::Status JobService::CheckPossible(const jobs::NewJob& new_job) const {
  jobs::JobRecord record;
  record.job = new_job.job;
  scheduler::WaitingJob job = scheduler::ToWaiting(record);
  job.project = new_job.project;
  const std::optional<std::string> never = scheduler_->cluster()->WhyNever(job);
  if (!never) return absl::OkStatus();
  return service::BadFields(
      v1::ERROR_REASON_SPEC_INVALID,
      {{"job.spec.resources",
        absl::StrCat("such a job can never start here: ", *never)}});
}

grpc::ServerUnaryReactor* JobService::GetJob(
    grpc::CallbackServerContext* context, const v1::GetJobRequest* request,
    v1::Job* response) {
  return Answer(context, "JobService/GetJob", metrics_, [&]() -> absl::Status {
    RETORT_RETURN_IF_ERROR(CheckName(request->name()));
    RETORT_ASSIGN_OR_RETURN(jobs::JobRecord record,
                            store_->Get(request->name()));
    *response = std::move(record.job);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* JobService::ListJobs(
    grpc::CallbackServerContext* context, const v1::ListJobsRequest* request,
    v1::ListJobsResponse* response) {
  return Answer(context, "JobService/ListJobs", metrics_,
                [&] { return DoList(*request, response); });
}

absl::Status JobService::DoList(const v1::ListJobsRequest& request,
                                v1::ListJobsResponse* response) {
  RETORT_ASSIGN_OR_RETURN(std::string project,
                          service::ParseParent(request.parent()));
  std::vector<jobs::State> states;
  for (int state : request.states()) {
    if (!v1::Job::State_IsValid(state)) {
      return service::BadField("states",
                               absl::StrCat(state, " is no state of a job"));
    }
    states.push_back(static_cast<jobs::State>(state));
  }
  RETORT_ASSIGN_OR_RETURN(const jobs::JobFilter filter,
                          jobs::JobFilter::Parse(request.filter()));
  RETORT_ASSIGN_OR_RETURN(
      jobs::JobPage page,
      store_->List(project, states, filter, request.page_size(),
                   request.page_token()));
  for (v1::Job& job : page.jobs) *response->add_jobs() = std::move(job);
  response->set_next_page_token(page.next_page_token);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* JobService::CancelJob(
    grpc::CallbackServerContext* context, const v1::CancelJobRequest* request,
    v1::Job* response) {
  return Answer(
      context, "JobService/CancelJob", metrics_, [&]() -> absl::Status {
        RETORT_RETURN_IF_ERROR(CheckName(request->name()));
        absl::StatusOr<v1::Job> job = scheduler_->Cancel(request->name());
        // A repeated request that has had its way already.
        if (absl::IsFailedPrecondition(job.status()) &&
            !request->request_id().empty()) {
          const auto now = store_->Get(request->name());
          if (now.ok() && now->job.state() == v1::Job::STATE_CANCELLED) {
            job = now->job;
          }
        }
        RETORT_ASSIGN_OR_RETURN(*response, std::move(job));
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* JobService::DeleteJob(
    grpc::CallbackServerContext* context, const v1::DeleteJobRequest* request,
    google::protobuf::Empty*) {
  return Answer(context, "JobService/DeleteJob", metrics_,
                [&]() -> absl::Status {
                  RETORT_RETURN_IF_ERROR(CheckName(request->name()));
                  return store_->Delete(request->name(), request->etag());
                });
}

grpc::ServerUnaryReactor* JobService::PauseJob(
    grpc::CallbackServerContext* context, const v1::PauseJobRequest* request,
    v1::Job* response) {
  return Answer(
      context, "JobService/PauseJob", metrics_, [&]() -> absl::Status {
        RETORT_RETURN_IF_ERROR(CheckName(request->name()));
        RETORT_ASSIGN_OR_RETURN(*response, scheduler_->Pause(request->name()));
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* JobService::ResumeJob(
    grpc::CallbackServerContext* context, const v1::ResumeJobRequest* request,
    v1::Job* response) {
  return Answer(context, "JobService/ResumeJob", metrics_,
                [&] { return DoResume(*request, response); });
}

absl::Status JobService::DoResume(const v1::ResumeJobRequest& request,
                                  v1::Job* response) {
  RETORT_RETURN_IF_ERROR(CheckName(request.name()));
  // No model goes until the job is there again to need it.
  absl::MutexLock lock(store_->models_mutex());
  RETORT_ASSIGN_OR_RETURN(const jobs::JobRecord before,
                          store_->Get(request.name()));
  // In other states it is refused for its state, below.
  if (jobs::CanResume(before.job.state())) {
    RETORT_RETURN_IF_ERROR(resolver_->CheckModelsOfResumed(before.job));
  }
  std::optional<int64_t> from_step;
  if (request.has_from_step()) from_step = request.from_step();
  RETORT_ASSIGN_OR_RETURN(*response,
                          scheduler_->Resume(request.name(), from_step));
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* JobService::ExplainQueue(
    grpc::CallbackServerContext* context,
    const v1::ExplainQueueRequest* request,
    v1::ExplainQueueResponse* response) {
  return Answer(
      context, "JobService/ExplainQueue", metrics_, [&]() -> absl::Status {
        RETORT_RETURN_IF_ERROR(CheckName(request->name()));
        RETORT_ASSIGN_OR_RETURN(const jobs::JobRecord record,
                                store_->Get(request->name()));
        *response =
            ExplainJob(*scheduler_->cluster(), record, scheduler_->Now());
        return absl::OkStatus();
      });
}

grpc::ServerWriteReactor<v1::WatchJobResponse>* JobService::WatchJob(
    grpc::CallbackServerContext* context, const v1::WatchJobRequest* request) {
  absl::Status status = MayCall(*context);
  if (status.ok()) status = CheckName(request->name());
  if (status.ok() && request->from_event() < 0) {
    status = service::BadField("from_event", "must not be negative");
  }
  if (!status.ok()) {
    return new RefusedStream<v1::WatchJobResponse>(ToGrpc(status));
  }
  return WatchJobReactor::Create(store_, *request);
}

grpc::ServerWriteReactor<v1::StreamLogsResponse>* JobService::StreamLogs(
    grpc::CallbackServerContext* context,
    const v1::StreamLogsRequest* request) {
  const auto name = service::ParseName(service::kJobs, request->name());
  absl::Status status = MayCall(*context);
  if (status.ok()) status = name.status();
  if (status.ok() && request->tail() < 0) {
    status = service::BadField("tail", "must not be negative; 0 means all");
  }
  if (status.ok() && (request->from_byte() < 0 ||
                      (request->from_byte() > 0 && request->tail() > 0))) {
    status = service::BadField("from_byte",
                               "must not be negative, nor go with tail");
  }
  if (status.ok()) status = store_->Get(request->name()).status();
  if (!status.ok()) {
    return new RefusedStream<v1::StreamLogsResponse>(ToGrpc(status));
  }
  return StreamLogsReactor::Create(store_, store_->DirOf(*name).log_path(),
                                   *request);
}

grpc::ServerUnaryReactor* JobService::ListMetrics(
    grpc::CallbackServerContext* context, const v1::ListMetricsRequest* request,
    v1::ListMetricsResponse* response) {
  return Answer(context, "JobService/ListMetrics", metrics_,
                [&] { return DoListMetrics(*request, response); });
}

absl::Status JobService::DoListMetrics(const v1::ListMetricsRequest& request,
                                       v1::ListMetricsResponse* response) {
  RETORT_RETURN_IF_ERROR(CheckName(request.name()));
  if (request.max_points() < 0 || request.max_points() > kMaxMaxPoints) {
    return service::BadField("max_points",
                             absl::StrCat("must be in [0, ", kMaxMaxPoints,
                                          "]; 0 means ", kDefaultMaxPoints));
  }
  RETORT_ASSIGN_OR_RETURN(
      std::vector<v1::MetricSeries> series,
      store_->ListMetrics(request.name(),
                          {request.series().begin(), request.series().end()},
                          request.max_points() == 0 ? kDefaultMaxPoints
                                                    : request.max_points()));
  for (v1::MetricSeries& one : series) {
    *response->add_series() = std::move(one);
  }
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* JobService::ListCheckpoints(
    grpc::CallbackServerContext* context,
    const v1::ListCheckpointsRequest* request,
    v1::ListCheckpointsResponse* response) {
  return Answer(
      context, "JobService/ListCheckpoints", metrics_, [&]() -> absl::Status {
        RETORT_ASSIGN_OR_RETURN(std::vector<v1::Checkpoint> checkpoints,
                                store_->ListCheckpoints(request->name()));
        for (v1::Checkpoint& checkpoint : checkpoints) {
          *response->add_checkpoints() = std::move(checkpoint);
        }
        return absl::OkStatus();
      });
}

}  // namespace retort::rpc
