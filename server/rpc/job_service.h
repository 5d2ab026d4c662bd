#ifndef RETORT_SERVER_RPC_JOB_SERVICE_H_
#define RETORT_SERVER_RPC_JOB_SERVICE_H_

#include <google/protobuf/empty.pb.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "retort/v1/job_service.grpc.pb.h"
#include "server/auth/caller.h"
#include "server/jobs/job_store.h"
#include "server/jobs/spec_resolver.h"
#include "server/metrics/service_metrics.h"
#include "server/rpc/work_thread.h"
#include "server/scheduler/scheduler.h"

namespace retort::rpc {

// Says what a job of a resolved spec takes; with `measure`, after one real
// step. May block for minutes, but not for long once `stop` says true.
using JobEstimator = std::function<absl::StatusOr<v1::JobEstimate>(
    const v1::JobSpec& spec, bool measure, const std::function<bool()>& stop)>;

// retort.v1.JobService over the job store and the scheduler. All arguments
// outlive the service, and the service the server. Without an estimator jobs
// that are only validated are answered without an estimate.
class JobService final : public v1::JobService::CallbackService {
 public:
  JobService(jobs::JobStore* store, scheduler::Scheduler* scheduler,
             const jobs::SpecResolver* resolver,
             metrics::ServiceMetrics* metrics, JobEstimator estimator = {})
      : store_(store),
        scheduler_(scheduler),
        resolver_(resolver),
        metrics_(metrics),
        estimator_(std::move(estimator)) {}
  // Ends estimates that are under way.
  ~JobService() override { stopping_ = true; }

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context,
                                      const v1::CreateJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request,
                                   v1::Job* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* DeleteJob(
      grpc::CallbackServerContext* context, const v1::DeleteJobRequest* request,
      google::protobuf::Empty* response) override;
  grpc::ServerUnaryReactor* PauseJob(grpc::CallbackServerContext* context,
                                     const v1::PauseJobRequest* request,
                                     v1::Job* response) override;
  grpc::ServerUnaryReactor* ResumeJob(grpc::CallbackServerContext* context,
                                      const v1::ResumeJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerWriteReactor<v1::WatchJobResponse>* WatchJob(
      grpc::CallbackServerContext* context,
      const v1::WatchJobRequest* request) override;
  grpc::ServerWriteReactor<v1::StreamLogsResponse>* StreamLogs(
      grpc::CallbackServerContext* context,
      const v1::StreamLogsRequest* request) override;
  grpc::ServerUnaryReactor* ListMetrics(
      grpc::CallbackServerContext* context,
      const v1::ListMetricsRequest* request,
      v1::ListMetricsResponse* response) override;
  grpc::ServerUnaryReactor* ListCheckpoints(
      grpc::CallbackServerContext* context,
      const v1::ListCheckpointsRequest* request,
      v1::ListCheckpointsResponse* response) override;
  grpc::ServerUnaryReactor* CloneJob(grpc::CallbackServerContext* context,
                                     const v1::CloneJobRequest* request,
                                     v1::Job* response) override;
  grpc::ServerUnaryReactor* ExplainQueue(
      grpc::CallbackServerContext* context,
      const v1::ExplainQueueRequest* request,
      v1::ExplainQueueResponse* response) override;

 private:
  absl::Status DoCreate(const v1::CreateJobRequest& request, v1::Job* response);
  // InvalidArgument (SPEC_INVALID) if the job could never start here.
  absl::Status CheckPossible(const jobs::NewJob& new_job) const;
  absl::Status DoClone(const auth::Caller& caller,
                       const v1::CloneJobRequest& request, v1::Job* response);
  // What CreateJob and CloneJob have in common. `new_job` has the ids of the
  // request; `fill_in` does the rest of it, spec resolved, unless the request
  // is a repetition. No model goes meanwhile.
  absl::Status Submit(jobs::NewJob new_job, bool validate_only,
                      const std::function<absl::Status(jobs::NewJob*)>& fill_in,
                      v1::Job* response);
  absl::Status FillInClone(const auth::Caller& caller,
                           const v1::CloneJobRequest& request,
                           jobs::NewJob* clone);
  // Answers a request that is only validated, and was found `valid`.
  grpc::ServerUnaryReactor* Estimate(grpc::CallbackServerContext* context,
                                     const char* method_name,
                                     const absl::Status& valid, bool measure,
                                     v1::Job* response);
  absl::Status DoResume(const v1::ResumeJobRequest& request, v1::Job* response);
  absl::Status DoList(const v1::ListJobsRequest& request,
                      v1::ListJobsResponse* response);
  absl::Status DoListMetrics(const v1::ListMetricsRequest& request,
                             v1::ListMetricsResponse* response);

  jobs::JobStore* const store_;
  scheduler::Scheduler* const scheduler_;
  const jobs::SpecResolver* const resolver_;
  metrics::ServiceMetrics* const metrics_;
  const JobEstimator estimator_;
  std::atomic<bool> stopping_{false};
  // Last: they end before what they work on. Sizes do not wait for a step.
  WorkThread sizes_;
  WorkThread measures_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_JOB_SERVICE_H_
