#ifndef RETORT_SERVER_RPC_WORKER_STREAM_H_
#define RETORT_SERVER_RPC_WORKER_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "retort/internal/v1/worker.grpc.pb.h"
#include "server/executor/worker_links.h"

namespace retort::rpc {

// One worker's stream, from its Hello to its end. The first message decides
// whether it may stay (WorkerLinks::Admit); later ones go to the links one by
// one: the next is read only when the last has been taken.
//
// Lives until gRPC has let go of it (OnDone) and nobody holds it as a session.
// Send and Close are thread-safe.
class WorkerStream
    : public grpc::ServerBidiReactor<internal::v1::AttachRequest,
                                     internal::v1::AttachResponse>,
      public executor::WorkerSession {
 public:
  // `links` outlives the server's streams.
  static WorkerStream* Create(executor::WorkerLinks* links);

  // WorkerSession.
  void Send(internal::v1::AttachResponse response) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Close(const absl::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);

  // Called by gRPC.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override;
  void OnDone() override;

 private:
  explicit WorkerStream(executor::WorkerLinks* links) : links_(links) {}

  void Greet();
  // Starts the next write, or the end, if none is under way.
  void Advance() ABSL_LOCKS_EXCLUDED(mutex_);

  executor::WorkerLinks* const links_;
  std::shared_ptr<WorkerStream> self_;  // until OnDone

  // Used by the one read at a time.
  internal::v1::AttachRequest incoming_;
  bool attached_ = false;
  std::string subject_;
  int64_t epoch_ = 0;
  int rank_ = 0;

  absl::Mutex mutex_;
  std::deque<internal::v1::AttachResponse> outgoing_ ABSL_GUARDED_BY(mutex_);
  // Set when the stream is to end after what is queued.
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  // The message being written; not touched while writing_.
  internal::v1::AttachResponse current_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_WORKER_STREAM_H_
