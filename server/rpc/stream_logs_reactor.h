#ifndef RETORT_SERVER_RPC_STREAM_LOGS_REACTOR_H_
#define RETORT_SERVER_RPC_STREAM_LOGS_REACTOR_H_

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "retort/v1/job_service.pb.h"
#include "server/jobs/job_store.h"
#include "server/rpc/log_file.h"

namespace retort::rpc {

// Streams a job's log file to one caller; with `follow`, looks a few times a
// second for more until the job has ended.
class StreamLogsReactor
    : public grpc::ServerWriteReactor<v1::StreamLogsResponse> {
 public:
  // Owns itself. `store` outlives the server's streams; the job exists.
  static StreamLogsReactor* Create(jobs::JobStore* store,
                                   const std::string& log_path,
                                   const v1::StreamLogsRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override;

 private:
  StreamLogsReactor(jobs::JobStore* store, const std::string& log_path,
                    const v1::StreamLogsRequest& request)
      : store_(store),
        name_(request.name()),
        follow_(request.follow()),
        file_(log_path, request.tail(), request.from_byte()) {}

  // Writes what is there, or waits, or ends. One step at a time: called by
  // Create, then by the end of each write or wait.
  void Step() ABSL_LOCKS_EXCLUDED(mutex_);
  void WaitForMore() ABSL_LOCKS_EXCLUDED(mutex_);

  jobs::JobStore* const store_;
  const std::string name_;
  const bool follow_;
  std::shared_ptr<StreamLogsReactor> self_;  // until OnDone

  LogFile file_;
  v1::StreamLogsResponse message_;
  bool greeted_ = false;

  absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_STREAM_LOGS_REACTOR_H_
