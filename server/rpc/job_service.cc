#include "server/rpc/job_service.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/base/resource_name.h"
#include "server/jobs/spec_hash.h"
#include "server/rpc/call_guard.h"
#include "server/rpc/refused_stream.h"
#include "server/rpc/status.h"
#include "server/rpc/stream_logs_reactor.h"
#include "server/rpc/unary_reactor.h"
#include "server/rpc/watch_job_reactor.h"

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
std::string Fingerprint(v1::CreateJobRequest request) {
  request.clear_request_id();
  return jobs::SpecSha256(request);
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
    return Estimate(context, request, response);
  }
  return Answer(context, "JobService/CreateJob", metrics_,
                [&] { return DoCreate(*request, response); });
}

grpc::ServerUnaryReactor* JobService::Estimate(
    grpc::CallbackServerContext* context, const v1::CreateJobRequest* request,
    v1::Job* response) {
  auto call = DeferredCall::Create(context, "JobService/CreateJob", metrics_);
  grpc::ServerUnaryReactor* reactor = call->reactor();
  absl::Status valid = MayCall(*context);
  if (valid.ok()) valid = DoCreate(*request, response);
  if (!valid.ok()) {
    call->Finish(valid);
    return reactor;
  }
  auto given_up = std::make_shared<std::atomic<bool>>(false);
  call->OnCancel([given_up] { *given_up = true; });
  const bool measure = request->measure();
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
  jobs::NewJob new_job;
  RETORT_ASSIGN_OR_RETURN(new_job.project,
                          service::ParseParent(request.parent()));
  if (!request.job_id().empty()) {
    RETORT_RETURN_IF_ERROR(service::ValidateId(request.job_id(), "job_id"));
  }
  RETORT_RETURN_IF_ERROR(CheckTexts(request.job()));
  new_job.job_id = request.job_id();
  new_job.request_id = request.request_id();
  new_job.request_fingerprint = Fingerprint(request);
  // A repeated request is answered even if its models are gone by now.
  if (!new_job.request_id.empty() && !request.validate_only()) {
    absl::StatusOr<v1::Job> earlier = store_->FindByRequest(new_job);
    if (!absl::IsNotFound(earlier.status())) {
      RETORT_ASSIGN_OR_RETURN(*response, std::move(earlier));
      return absl::OkStatus();
    }
  }
  new_job.job.set_display_name(request.job().display_name());
  new_job.job.set_priority(request.job().priority());
  *new_job.job.mutable_labels() = request.job().labels();
  *new_job.job.mutable_spec() = request.job().spec();
  absl::MutexLock lock(store_->models_mutex());
  RETORT_RETURN_IF_ERROR(
      resolver_->Resolve(new_job.job.mutable_spec(), request.validate_only()));
  if (!new_job.job_id.empty()) {
    RETORT_RETURN_IF_ERROR(store_->CheckIsNew(
        service::ResourceName{new_job.project, service::kJobs, new_job.job_id}
            .ToString()));
  }
  RETORT_RETURN_IF_ERROR(resolver_->CheckModelIsNew(
      new_job.project, new_job.job_id, new_job.job.spec()));
  if (request.validate_only()) {
    *response = new_job.job;
    return absl::OkStatus();
  }
  RETORT_ASSIGN_OR_RETURN(*response, store_->CreateJob(new_job));
  scheduler_->Wake();
  return absl::OkStatus();
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
  RETORT_ASSIGN_OR_RETURN(
      jobs::JobPage page,
      store_->List(project, states, request.page_size(), request.page_token()));
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
  RETORT_ASSIGN_OR_RETURN(*response, scheduler_->Resume(request.name()));
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* JobService::ExplainQueue(
    grpc::CallbackServerContext* context, const v1::ExplainQueueRequest*,
    v1::ExplainQueueResponse*) {
  return AnswerNotImplemented(context, "JobService/ExplainQueue", metrics_);
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
