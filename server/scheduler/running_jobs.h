#ifndef RETORT_SERVER_SCHEDULER_RUNNING_JOBS_H_
#define RETORT_SERVER_SCHEDULER_RUNNING_JOBS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "retort/internal/v1/worker.pb.h"
#include "server/executor/executor.h"
#include "server/executor/worker_links.h"
#include "server/jobs/job_store.h"
#include "server/jobs/model_lookup.h"
#include "server/metrics/service_metrics.h"
#include "server/scheduler/machine_policy.h"

namespace retort::scheduler {

struct RunningJobsOptions {
  // How long a worker that was started may take to attach.
  absl::Duration attach_timeout = absl::Minutes(3);
  // How long a worker of an earlier server may take to attach again.
  absl::Duration adopt_timeout = absl::Seconds(30);
  // How long a worker goes on alone when its stream has broken (its lease);
  // after that it is taken to be lost and ended.
  absl::Duration lease = absl::Minutes(10);
  // How long a cancelled worker may take to end by itself, and one that has
  // said its last word.
  absl::Duration cancel_timeout = absl::Minutes(2);
  absl::Duration exit_timeout = absl::Seconds(20);
  // How long a worker may take to write its checkpoint and end when its job is
  // paused. Longer than for a cancel: steps done are lost if it is killed.
  absl::Duration pause_timeout = absl::Minutes(10);
  // Workers that a job may lose in a row without a new checkpoint.
  int max_failures = 3;
  // Wait before the next try; doubles with each loss.
  absl::Duration backoff = absl::Seconds(2);
  // Wait before a job runs again that found the disk full, or for which there
  // was no process; doubles each time, up to max_wait. Such a job waits for
  // people and is not given up.
  absl::Duration first_wait = absl::Seconds(10);
  absl::Duration max_wait = absl::Minutes(10);
  // Between tries to write down what has become of a job.
  absl::Duration settle_interval = absl::Seconds(5);
};

// The jobs that have (or may have) a worker process: starts workers, gives
// them their assignment, takes what they say to the store, and decides what a
// loss means. Not thread-safe: the scheduler's thread owns it, and hands over
// the workers' news one by one.
class RunningJobs {
 public:
  RunningJobs(const RunningJobsOptions& options, base::Clock* clock,
              jobs::JobStore* store, jobs::ModelLookup* models,
              executor::Executor* executor, metrics::ServiceMetrics* metrics);

  // Takes over a job that an earlier server left with a worker.
  absl::Status Recover(const jobs::JobRecord& record);

  // Starts a worker for a queued job; false if the executor could not: then
  // the job has failed or, if the error may pass, waits for its next try.
  // Other errors (the job is not QUEUED any more) are returned.
  absl::StatusOr<bool> StartJob(const std::string& name);

  // The job is CANCELLING: tell the worker.
  void Cancel(const std::string& name);

  // The job is PAUSING: ask the worker to write a checkpoint and end.
  void Pause(const std::string& name);

  // The job was put back in the queue on request: no wait holds it back.
  void Resume(const std::string& name) { delays_.erase(name); }

  // Asks all workers to write a checkpoint and end; jobs go back to the queue.
  void StopAll();

  // News of a worker (executor::WorkerListener). Those of an incarnation that
  // is not the current one are fenced off or ignored.
  void Attached(const std::string& name, int64_t epoch,
                const internal::v1::Hello& hello,
                std::shared_ptr<executor::WorkerSession> session);
  void Message(const std::string& name, int64_t epoch, int rank,
               const internal::v1::AttachRequest& message);
  void Detached(const std::string& name, int64_t epoch, int rank);
  void Placed(const std::string& name, int64_t epoch,
              const executor::GangPlacement& placement);
  void Exited(const std::string& name, int64_t epoch,
              const executor::ExitStatus& exit);

  // Acts on time limits that have passed; returns the next one.
  absl::Time CheckTimeLimits();

  // Jobs with a process, and when a job that lost one may start again.
  std::vector<RunningJob> Running() const;
  absl::Time NotBefore(const std::string& name) const;
  bool empty() const { return running_.empty(); }

 private:
  struct Entry {
    int64_t epoch = 0;
    int cpu_threads = 1;
    std::shared_ptr<executor::WorkerSession> session;
    // The worker's last word is in the store.
    bool ended = false;
    // Why the service ended the process itself; empty if it did not.
    std::string killed_because;
    // How the process ended, while its last messages may still be on the way.
    std::optional<executor::ExitStatus> exit;
    // There is no process any more, and the store could not be told yet what
    // that means for the job. Called until it could.
    std::function<absl::Status()> settle;
    // A time limit, and what it is for.
    enum class Limit {
      kNone,
      kAttach,
      kLease,
      kCancel,
      kPause,
      kExit,
      kDrain,
      kSettle
    };
    Limit limit = Limit::kNone;
    absl::Time limit_at = absl::InfiniteFuture();
  };

  void NoteHandle(const std::string& name, const std::string& handle);
  Entry* Find(const std::string& name, int64_t epoch);
  // The entry of a job in this state, if it has a process that can still be
  // asked for something. A request is acted upon later than it was stored: by
  // then the job may be in another state, or have another worker.
  Entry* FindToAsk(const std::string& name, jobs::State state);
  void SetLimit(Entry* entry, Entry::Limit limit, absl::Duration after);
  void LimitPassed(const std::string& name, Entry* entry);
  void KillBecause(const std::string& name, Entry* entry,
                   const std::string& why);

  absl::StatusOr<internal::v1::Assignment> MakeAssignment(
      const jobs::JobRecord& record);
  void TaskEnded(const std::string& name, Entry* entry,
                 const internal::v1::TaskEnded& ended);
  absl::Status Succeed(const std::string& name,
                       const internal::v1::TaskEnded& ended);
  absl::Status FailJob(const std::string& name, const std::string& reason);
  // What becomes of a job whose worker ended without a last word.
  absl::Status WorkerLost(const std::string& name, const std::string& cause,
                          const std::string& details);
  absl::Status Requeue(const std::string& name, const std::string& reason);
  // Requeues, for a while that grows each time.
  absl::Status PutOff(const std::string& name, const std::string& reason);
  void Wait(const std::string& name);
  // The process has ended and all it said has been heard.
  void Finish(const std::string& name, Entry* entry);
  // Tells the store what has become of a job without a process, now or, if
  // the store has no room, as soon as it has. Ends the entry, if there is one.
  void Settle(const std::string& name, std::function<absl::Status()> settle);
  static jobs::State EndState(jobs::State before,
                              const internal::v1::TaskEnded& ended);

  const RunningJobsOptions options_;
  base::Clock* const clock_;
  jobs::JobStore* const store_;
  jobs::ModelLookup* const models_;
  executor::Executor* const executor_;
  metrics::ServiceMetrics* const metrics_;

  std::map<std::string, Entry> running_;
  struct Delay {
    absl::Time until;
    int waits = 0;  // in a row, without anything done between them
  };
  std::map<std::string, Delay> delays_;
  bool stopping_ = false;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_RUNNING_JOBS_H_
