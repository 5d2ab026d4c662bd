#ifndef RETORT_SERVER_WORKER_REPLICA_H_
#define RETORT_SERVER_WORKER_REPLICA_H_

#include <cstdint>
#include <list>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "retort/internal/v1/worker.pb.h"
#include "server/worker/loaded_model.h"
#include "server/worker/outbox.h"

namespace retort::worker {

// Serves one model: takes sampling requests from the link's thread and answers
// them one after another on the thread that calls Run(), which is the only one
// that touches LibTorch. Higher priority first, then first come, first served.
// Requests whose caller has gone or whose time is up are dropped: before they
// start, and between the steps of the one that runs.
//
//   Replica replica(&outbox);
//   RETORT_RETURN_IF_ERROR(replica.Load(model_dir));   // loads and warms up
//   replica.Run();                                     // until Drain or Stop
//
// Enqueue, DropAll, Drain and Stop may be called from any thread, also before
// Load().
class Replica {
 public:
  // `outbox` outlives the replica. `clock` null means the real one.
  explicit Replica(Outbox* outbox, base::Clock* clock = nullptr);

  // Loads the model, runs it once on this thread and says ReplicaReady.
  absl::Status Load(const std::string& model_dir);

  // Answers requests until Stop(), or until Drain() and nothing waits.
  void Run();

  // Queues a request, or gives one up (task.cancel).
  void Enqueue(const internal::v1::SampleTask& task);

  // Gives all requests up, the running one included: nobody waits for them.
  void DropAll();

  // Run() returns when what is queued is answered.
  void Drain();

  // Run() returns after the step that is being computed; what is queued is
  // answered as Unavailable.
  void Stop();

 private:
  struct Request {
    internal::v1::SampleTask task;
    absl::Time enqueued;
    absl::Time deadline;
  };

  std::optional<Request> Next();
  // Asked between steps of the running request.
  bool MustStop();
  void Answer(const Request& request);
  absl::StatusOr<v1::SampleResponse> Sample(const Request& request,
                                            absl::Time start);
  absl::Status WarmUp();
  void RefuseRest();

  Outbox* const outbox_;
  base::Clock* const clock_;
  std::optional<LoadedModel> model_;  // of the model's thread

  absl::Mutex mutex_;
  std::list<Request> queue_ ABSL_GUARDED_BY(mutex_);
  int64_t running_id_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time running_deadline_ ABSL_GUARDED_BY(mutex_);
  bool running_dropped_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_REPLICA_H_
