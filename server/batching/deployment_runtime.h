#ifndef RETORT_SERVER_BATCHING_DEPLOYMENT_RUNTIME_H_
#define RETORT_SERVER_BATCHING_DEPLOYMENT_RUNTIME_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "retort/internal/v1/worker.pb.h"
#include "retort/v1/deployment_service.pb.h"
#include "server/batching/actions.h"
#include "server/batching/replica.h"
#include "server/batching/sample_queue.h"
#include "server/batching/sample_request.h"

namespace retort::batching {

// What one deployment does: its replicas and its requests. Pure decisions: it
// is told what happened and when, and puts what is to be done into Actions;
// it has no thread, no lock and no clock. A request is lost by no crash of a
// replica: it goes back to its place in the queue, as long as its deadline
// leaves time for another replica.
//
// Not thread-safe; DeploymentManager holds its lock around every call.
class DeploymentRuntime {
 public:
  DeploymentRuntime(const v1::Deployment& config, const ServedModel& model,
                    const ReplicaOptions& options, const QueueLimits& limits);

  // Starts the replicas that have not been started.
  void Start(absl::Time now, Actions* actions);
  // Instead of Start: the model cannot be served, for good.
  void Fail(const std::string& cause);

  // News of replicas. Epochs that are not current are ignored (but told to
  // stop when they attach).
  void OnAttached(int64_t epoch,
                  std::shared_ptr<executor::WorkerSession> session,
                  absl::Time now, Actions* actions);
  void OnMessage(int64_t epoch, internal::v1::AttachRequest&& message,
                 absl::Time now, Actions* actions);
  void OnDetached(int64_t epoch, absl::Time now, Actions* actions);
  void OnExited(int64_t epoch, const std::string& how, absl::Time now,
                Actions* actions);

  // Admits a resolved request, or returns why not and leaves it untouched.
  // Errors: FAILED_PRECONDITION (being deleted), UNAVAILABLE (NOT_READY),
  // RESOURCE_EXHAUSTED (LIMIT_EXCEEDED, with RetryInfo).
  absl::Status Submit(SampleEntry&& entry, absl::Time now, Actions* actions);
  // Answers the request with CANCELLED, if it is still there.
  void Cancel(int64_t id, absl::Time now, Actions* actions);

  // Lets time pass: restarts, timeouts, deadlines.
  void Tick(absl::Time now, Actions* actions);
  // When Tick has something to do next.
  absl::Time NextDue() const;

  // No more requests; `actions->finished` comes with the last answer.
  void Delete(absl::Time now, Actions* actions);
  // Ends everything now; what is not answered is answered with `status`.
  void Stop(const absl::Status& status, absl::Time now, Actions* actions);

  const ServedModel& model() const { return model_; }
  int ready_replicas() const;
  bool idle() const { return queue_.empty(); }
  int64_t queued_samples() const { return queue_.samples(); }
  // Writes state, state_reason and ready_replicas.
  void Describe(absl::Time now, v1::Deployment* deployment) const;

 private:
  Replica* Find(int64_t epoch);
  void Launch(Replica* replica, absl::Time now, Actions* actions);
  void TickReplica(Replica* replica, absl::Time now, Actions* actions);
  // The replica has no process any more.
  void Crashed(Replica* replica, const std::string& cause, absl::Time now,
               Actions* actions);
  // The replica will not answer what it works on.
  void LoseRequest(Replica* replica, Actions* actions);
  void OnReady(Replica* replica, absl::Time now);
  void OnAnswer(Replica* replica, internal::v1::SampleAnswer* answer,
                absl::Time now, Actions* actions);
  void Retry(int64_t id, const std::string& cause, Actions* actions);
  void Succeed(internal::v1::SampleAnswer* answer, absl::Time now,
               Actions* actions);
  // Gives idle replicas what waits, after answering what waits in vain.
  void Dispatch(absl::Time now, Actions* actions);
  void Expire(absl::Time now, Actions* actions);
  void DropHopeless(absl::Time now, Actions* actions);
  void AnswerAll(const absl::Status& status, Actions* actions);
  void Answer(int64_t id, absl::StatusOr<v1::SampleResponse> result,
              Actions* actions);
  void EndReplicas(Actions* actions);
  void FinishDeletion(Actions* actions);

  bool AllFailed() const;
  // When a replica may be ready at the earliest.
  absl::Time PossibleAt(absl::Time now) const;
  absl::Duration RetryAfter() const;
  std::string LastError() const;
  absl::Status NotReady(const std::string& why, absl::Duration retry) const;

  const v1::Deployment config_;
  const ServedModel model_;
  const ReplicaOptions options_;
  std::vector<Replica> replicas_;
  SampleQueue queue_;
  int64_t last_epoch_ = 0;
  bool ever_ready_ = false;
  bool deleting_ = false;
  bool finished_ = false;
  // Moving average of what answers took, for RetryInfo; 0: unknown.
  double seconds_per_sample_ = 0;
};

}  // namespace retort::batching

#endif  // RETORT_SERVER_BATCHING_DEPLOYMENT_RUNTIME_H_
