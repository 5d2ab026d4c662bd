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
#include "server/scheduler/gang_ranks.h"
#include "server/scheduler/job_ends.h"

namespace retort::scheduler {

struct RunningJobsOptions {
  // How long the workers of a gang may take to attach, once it has its place.
  absl::Duration attach_timeout = absl::Minutes(3);
  // How long the workers of an earlier server may take to attach again.
  absl::Duration adopt_timeout = absl::Seconds(30);
  // How long a worker goes on alone when its stream has broken (its lease);
  // after that it is taken to be lost and its gang is ended.
  absl::Duration lease = absl::Minutes(15);
  // When a worker that is attached is taken to hang.
  HangOptions hang;
  // How long a cancelled gang may take to end by itself, and one that has said
  // its last word.
  absl::Duration cancel_timeout = absl::Minutes(2);
  absl::Duration exit_timeout = absl::Seconds(20);
  // How long a gang may take to write its checkpoint and end when it is asked
  // to. Longer than for a cancel: steps done are lost if it is killed.
  absl::Duration pause_timeout = absl::Minutes(10);
  JobEndsOptions ends;
  // Between tries to write down what has become of a job.
  absl::Duration settle_interval = absl::Seconds(5);
};

// The jobs that have (or may have) a gang of worker processes: starts gangs,
// gives each rank its assignment, takes what rank 0 says to the store, and
// decides which rank hangs and what a loss means. Not thread-safe: the
// scheduler's thread owns it, and hands over the workers' news one by one.
class RunningJobs {
 public:
  RunningJobs(const RunningJobsOptions& options, base::Clock* clock,
              jobs::JobStore* store, jobs::ModelLookup* models,
              executor::Executor* executor, metrics::ServiceMetrics* metrics);

  // Takes over a job that an earlier server left with a gang.
  absl::Status Recover(const jobs::JobRecord& record);

  // Starts a gang for a queued job; false if the executor could not: then the
  // job has failed or, if the error may pass, waits for its next try. Other
  // errors (the job is not QUEUED any more) are returned.
  absl::StatusOr<bool> StartJob(const std::string& name);

  // The job is CANCELLING: tell the workers.
  void Cancel(const std::string& name);

  // The job is PAUSING: ask the workers to write a checkpoint and end.
  void Pause(const std::string& name);

  // Asks a running gang to write a checkpoint and end, to make room: its job
  // goes back to the queue with this reason. Without effect on one that has
  // been asked before.
  void Preempt(const std::string& name, const std::string& reason);

  // The job was put back in the queue on request: no wait holds it back.
  void Resume(const std::string& name) { ends_.NoWait(name); }

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

  // Acts on time limits that have passed, and on ranks that hang; returns when
  // to call again at the latest.
  absl::Time CheckTimeLimits();

  // This thread was so much later than it wanted to be: the server was stopped,
  // or its machine asleep. Time that workers could not be heard in is not held
  // against them.
  void Overslept(absl::Duration by);

  // Whether the job has a gang, and when one that lost it may start again.
  bool Has(const std::string& name) const { return running_.count(name) > 0; }
  // It has one, which is in the executor's own queue.
  bool Waits(const std::string& name) const {
    const auto found = running_.find(name);
    return found != running_.end() && found->second.waiting;
  }
  absl::Time NotBefore(const std::string& name) const {
    return ends_.NotBefore(name);
  }
  bool empty() const { return running_.empty(); }

 private:
  struct Entry {
    int64_t epoch = 0;
    std::string executor_id;
    GangRanks ranks;
    // Where the ranks find each other, once rank 0 has said so.
    std::optional<internal::v1::Rendezvous> rendezvous;
    // It is in the executor's own queue.
    bool waiting = false;
    // It has told of a checkpoint.
    bool wrote = false;
    // The gang's last word is in the store.
    bool ended = false;
    // Why the service ended the gang itself; empty if it did not.
    std::string killed_because;
    // Why it was ended before it had begun, so that nothing is lost.
    std::string withdrawn_because;
    // Why it was asked to write a checkpoint and end, other than by the job's
    // state; empty if it was not.
    std::string stopped_because;
    bool out_of_time = false;  // that was its time_limit
    absl::Time time_limit_at = absl::InfiniteFuture();
    // When a rank was first seen to hang that still does.
    std::optional<absl::Time> suspected_at;
    // How the gang ended, while its last messages may still be on the way.
    std::optional<executor::ExitStatus> exit;
    // There is no process any more, and the store could not be told yet what
    // that means for the job. Called until it could.
    std::function<absl::Status()> settle;
    // Why the store could not be told of its end, as logged last.
    absl::Status not_stored;
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

    // Nobody asked it to end; in the state that the store has.
    bool unasked(jobs::State state) const {
      return stopped_because.empty() && (state == v1::Job::STATE_STARTING ||
                                         state == v1::Job::STATE_RUNNING);
    }

    // Its processes are, or should be, at work.
    bool at_work() const {
      return !ended && !settle && !exit.has_value() && killed_because.empty();
    }
  };

  void NoteHandle(const std::string& name, const std::string& handle);
  // What becomes of a job whose gang could not be started.
  std::function<absl::Status()> NotStarted(const std::string& name,
                                           const absl::Status& why);
  Entry* Find(const std::string& name, int64_t epoch);
  // The entry of a job in this state, if it has a gang that can still be asked
  // for something. A request is acted upon later than it was stored: by then
  // the job may be in another state, or have another gang.
  Entry* FindToAsk(const std::string& name, jobs::State state);
  void SetLimit(Entry* entry, Entry::Limit limit, absl::Duration after);
  // Sets the limit for its ranks to attach. `may_wait`: the executor may have
  // it in a queue.
  void AwaitRanks(Entry* entry, absl::Duration timeout, bool may_wait);
  void LimitPassed(const std::string& name, Entry* entry);
  void KillBecause(const std::string& name, Entry* entry,
                   const std::string& why);
  // Asks a gang to end within a limit.
  void AskToEnd(const std::string& name, Entry* entry,
                internal::v1::Control::Action action, const std::string& why);
  // Asks again what a rank that has (re-)attached may not have heard.
  void RepeatRequests(const std::string& name, Entry* entry, jobs::State state);
  void CheckHanging(const std::string& name, Entry* entry);
  void Hangs(const std::string& name, Entry* entry, const std::string& verdict);
  void OutOfTime(const std::string& name, Entry* entry);
  // For readers of the job.
  void PublishRanks(const std::string& name, const Entry& entry);

  // Gives their assignment to ranks that need one and can have it.
  void AssignRanks(const std::string& name, Entry* entry,
                   const jobs::JobRecord& record);
  absl::StatusOr<internal::v1::Assignment> MakeAssignment(
      const jobs::JobRecord& record);
  void RecordProgress(const std::string& name,
                      const internal::v1::Progress& progress);
  // A worker that only loads has a phase and no steps: training stands where it
  // goes on from.
  void KeepReached(const std::string& name, v1::JobProgress* progress);
  void AddWarning(const std::string& name, const std::string& message);
  void SetRendezvous(const std::string& name, Entry* entry,
                     const internal::v1::Rendezvous& rendezvous);
  void TaskEnded(const std::string& name, Entry* entry,
                 const internal::v1::TaskEnded& ended);
  // The same of another rank than 0, which counts only if it failed.
  void RankEnded(const std::string& name, Entry* entry, int rank,
                 const internal::v1::TaskEnded& ended);
  // What has become of a job, a line in the log.
  void LogState(const std::string& name) const;
  // The gang has ended and all it said has been heard.
  void Finish(const std::string& name, Entry* entry);
  // What has become of the job of a gang that ended without a last word.
  std::function<absl::Status()> WhatBecame(const std::string& name,
                                           const Entry& entry);
  // Tells the store what has become of a job without a gang, now or, if the
  // store cannot take it, as soon as it can. Ends the entry, if there is one.
  void Settle(const std::string& name, std::function<absl::Status()> settle);
  // Logs the error, unless it is the same as last time.
  void NotStored(const std::string& name, const absl::Status& status,
                 Entry* entry);

  // What the executor and the metrics call workers of jobs.
  static constexpr char kRole[] = "task";

  const RunningJobsOptions options_;
  base::Clock* const clock_;
  jobs::JobStore* const store_;
  jobs::ModelLookup* const models_;
  executor::Executor* const executor_;
  metrics::ServiceMetrics* const metrics_;

  JobEnds ends_;
  std::map<std::string, Entry> running_;
  bool stopping_ = false;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_RUNNING_JOBS_H_
