#ifndef RETORT_SERVER_EXECUTOR_WORKER_LINKS_H_
#define RETORT_SERVER_EXECUTOR_WORKER_LINKS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "retort/internal/v1/worker.pb.h"
#include "server/executor/executor.h"

namespace retort::executor {

// The server's end of one worker's stream, implemented by
// server/rpc/worker_service. Thread-safe.
class WorkerSession {
 public:
  virtual ~WorkerSession() = default;
  // Queues a message; it is dropped if the stream has ended (OnDetached
  // tells). Never blocks.
  virtual void Send(internal::v1::AttachResponse response) = 0;
  // Ends the stream after what is queued, with `status` for the worker.
  virtual void Close(const absl::Status& status) = 0;
};

// Hears of workers of one kind of subject, each a rank of its gang (a replica
// is rank 0). Calls come from threads of gRPC and of the executor, with no lock
// held; those of one rank come one at a time and in order: OnAttached,
// OnMessage..., OnDetached. A rank may attach again afterwards with the same
// epoch (a new session). OnPlacement and OnExited are about the whole gang;
// they come from another thread, and OnExited may overtake the last messages
// of the streams.
class WorkerListener {
 public:
  virtual ~WorkerListener() = default;
  // hello.rank() is the rank; it is not negative.
  virtual void OnAttached(const std::string& subject, int64_t epoch,
                          const internal::v1::Hello& hello,
                          std::shared_ptr<WorkerSession> session) = 0;
  virtual void OnMessage(const std::string& subject, int64_t epoch, int rank,
                         const internal::v1::AttachRequest& message) = 0;
  virtual void OnDetached(const std::string& subject, int64_t epoch,
                          int rank) = 0;
  // The gang waits in the executor's own queue, or has been given its place.
  virtual void OnPlacement(const std::string& /*subject*/, int64_t /*epoch*/,
                           const GangPlacement& /*placement*/) {}
  virtual void OnExited(const std::string& subject, int64_t epoch,
                        const ExitStatus& exit) = 0;
};

// Who may attach, and to whom what workers say goes. The executor says whom it
// expects; server/rpc/worker_service asks Admit for each new stream and hands
// on what comes; listeners are registered per collection ("jobs",
// "deployments") at start-up. Thread-safe; calls listeners with no lock held.
class WorkerLinks {
 public:
  // Registers the listener of a collection. It must outlive the streams.
  void SetListener(absl::string_view collection, WorkerListener* listener);

  // The ranks of this incarnation may attach with the token of this hash.
  void Expect(const std::string& subject, int64_t epoch,
              const std::string& token_sha256);
  // From now on it may not. Exited() does the same.
  void Forget(const std::string& subject, int64_t epoch);

  // Checks who a new stream says it is. PermissionDenied for a wrong token,
  // InvalidArgument for a rank that cannot be,
  // FailedPrecondition for an incarnation that is not expected (a stale
  // worker, which is to stop).
  absl::Status Admit(const internal::v1::Hello& hello) const;

  // Hand news to the listener of the subject's collection. A worker whose
  // stream broke may be back before the break is noticed here: the new session
  // then takes the old one's place (OnDetached, OnAttached), and what the old
  // one still says is dropped.
  void Attached(const internal::v1::Hello& hello,
                std::shared_ptr<WorkerSession> session);
  void Message(const std::string& subject, int64_t epoch, int rank,
               const WorkerSession* session,
               const internal::v1::AttachRequest& message);
  void Detached(const std::string& subject, int64_t epoch, int rank,
                const WorkerSession* session);
  void Placed(const std::string& subject, int64_t epoch,
              const GangPlacement& placement);
  void Exited(const std::string& subject, int64_t epoch,
              const ExitStatus& exit);

 private:
  using Incarnation = std::pair<std::string, int64_t>;

  WorkerListener* ListenerOf(const std::string& subject) const;

  mutable absl::Mutex mutex_;
  std::map<std::string, WorkerListener*, std::less<>> listeners_
      ABSL_GUARDED_BY(mutex_);
  std::map<Incarnation, std::string> token_hashes_ ABSL_GUARDED_BY(mutex_);
  // The session of each attached rank.
  std::map<std::pair<Incarnation, int>, const WorkerSession*> current_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace retort::executor

#endif  // RETORT_SERVER_EXECUTOR_WORKER_LINKS_H_
