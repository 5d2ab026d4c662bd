#ifndef RETORT_SERVER_RPC_WATCH_JOB_REACTOR_H_
#define RETORT_SERVER_RPC_WATCH_JOB_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "retort/v1/job_service.pb.h"
#include "server/jobs/job_store.h"

namespace retort::rpc {

// Streams a job's events to one caller: the stored ones from a number on, then
// new ones as they come, with the newest progress in between, until the job
// has ended and all was sent. A slow caller gets every event but skips
// progress; nothing piles up, since the next thing is read from the store only
// when the last has been written.
class WatchJobReactor : public grpc::ServerWriteReactor<v1::WatchJobResponse>,
                        public jobs::JobWatcher {
 public:
  // Owns itself. `store` outlives the server's streams.
  static WatchJobReactor* Create(jobs::JobStore* store,
                                 const v1::WatchJobRequest& request);

  // JobWatcher.
  void OnNews() override ABSL_LOCKS_EXCLUDED(mutex_);

  // Called by gRPC.
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override;

 private:
  WatchJobReactor(jobs::JobStore* store, const v1::WatchJobRequest& request)
      : store_(store), name_(request.name()), next_(request.from_event()) {}

  // Sends the next thing, if there is one and nobody else is at it.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  enum class Next { kMessage, kNothing, kEnd };
  // Finds out what to send into message_, or how to end. Only from Pump.
  Next Fetch(absl::Status* end);

  jobs::JobStore* const store_;
  const std::string name_;
  std::shared_ptr<WatchJobReactor> self_;  // until OnDone

  // Used by the one that is at it (busy_).
  int64_t next_;
  int64_t progress_version_ = 0;
  std::deque<v1::WatchJobResponse> events_;
  v1::WatchJobResponse message_;

  absl::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  bool news_ ABSL_GUARDED_BY(mutex_) = true;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_WATCH_JOB_REACTOR_H_
