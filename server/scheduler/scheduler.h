#ifndef RETORT_SERVER_SCHEDULER_SCHEDULER_H_
#define RETORT_SERVER_SCHEDULER_SCHEDULER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "server/executor/executor.h"
#include "server/executor/worker_links.h"
#include "server/jobs/job_store.h"
#include "server/jobs/model_lookup.h"
#include "server/metrics/service_metrics.h"
#include "server/scheduler/cluster_store.h"
#include "server/scheduler/live_cluster.h"
#include "server/scheduler/running_jobs.h"

namespace retort::scheduler {

struct SchedulerOptions {
  LiveClusterOptions cluster;
  RunningJobsOptions running;
};

// Decides which job runs when (policy.h), and sees each through to its end. One
// thread does everything; what others have to say (a worker's messages, a call
// of the API) is put in its inbox, so that no two things happen to a job at
// once. It hears of each stored change of a job, and decides when something has
// changed or the last decision said so, not for each progress of a worker.
//
//   Scheduler scheduler(...);
//   links->SetListener("jobs", &scheduler);
//   RETORT_RETURN_IF_ERROR(scheduler.Recover());  // before workers can dial
//   scheduler.Start();
//   ...
//   scheduler.Stop(absl::Seconds(60));
//
// Thread-safe. Tests leave Start() out and call RunOnce().
class Scheduler : public executor::WorkerListener {
 public:
  // All arguments outlive the scheduler.
  Scheduler(const SchedulerOptions& options, base::Clock* clock,
            jobs::JobStore* store, jobs::ModelLookup* models,
            executor::Executor* executor, ClusterStore* cluster_store,
            metrics::ServiceMetrics* metrics);
  ~Scheduler() override;

  // Picks up what an earlier server left: jobs whose worker lives wait for it
  // to attach again, the others go back to the queue.
  absl::Status Recover();
  void Start();
  // Asks the workers to write a checkpoint and end, and waits for that at most
  // `grace`; workers that need longer are left running for the next server.
  void Stop(absl::Duration grace) ABSL_LOCKS_EXCLUDED(mutex_);

  // Something in the queue has changed: look soon.
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends a job as CANCELLED, by way of CANCELLING if it has a worker.
  // FailedPrecondition (STATE_CONFLICT) if it has ended, NotFound.
  absl::StatusOr<v1::Job> Cancel(const std::string& name);

  // Puts a job on hold as PAUSED, by way of PAUSING (its worker writes a
  // checkpoint) if it has a worker. Without effect if it is on hold, or about
  // to be. FailedPrecondition (STATE_CONFLICT) if it has ended or is being
  // cancelled, NotFound.
  absl::StatusOr<v1::Job> Pause(const std::string& name);

  // Puts a job that is PAUSED, CANCELLED or FAILED back in the queue, with all
  // its tries; it goes on from its last checkpoint, or from that of `from_step`
  // (JobStore::DropAfter). Whether the models are there that it needs is for
  // the caller to know. FailedPrecondition (STATE_CONFLICT) in other states,
  // and if it has used up its time_limit; NotFound. Nothing has changed then.
  absl::StatusOr<v1::Job> Resume(
      const std::string& name, std::optional<int64_t> from_step = std::nullopt);

  // Nodes, projects, what waits and what runs. After a change of a project or a
  // node, Wake().
  LiveCluster* cluster() { return &cluster_; }
  // By the scheduler's clock.
  absl::Time Now() const { return clock_->Now(); }

  // Handles the inbox, then decides and acts once. Returns when to call again
  // at the latest. For Start()'s thread, and for tests.
  absl::Time RunOnce() ABSL_LOCKS_EXCLUDED(mutex_);

  // The next RunOnce() comes so much later than it should have
  // (RunningJobs::Overslept). For Start()'s thread, and for tests.
  void Overslept(absl::Duration by) { running_.Overslept(by); }

  // WorkerListener. Only fill the inbox.
  void OnAttached(const std::string& subject, int64_t epoch,
                  const internal::v1::Hello& hello,
                  std::shared_ptr<executor::WorkerSession> session) override;
  void OnMessage(const std::string& subject, int64_t epoch, int rank,
                 const internal::v1::AttachRequest& message) override;
  void OnDetached(const std::string& subject, int64_t epoch, int rank) override;
  void OnPlacement(const std::string& subject, int64_t epoch,
                   const executor::GangPlacement& placement) override;
  void OnExited(const std::string& subject, int64_t epoch,
                const executor::ExitStatus& exit) override;

 private:
  // Hears of stored changes, from any thread; may outlive the scheduler.
  class News;

  // Also has the queue looked at, unless it is news of no consequence to it.
  void Post(std::function<void()> item, bool look = true)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Brings the cluster up to date with the store and the processes.
  void FollowJobs();
  void FollowJob(const std::string& name);
  // Decides and acts; returns when to decide anew.
  absl::Time DecideAndAct();
  void Refuse(const Plan::Refusal& refusal);
  void PublishUsage();

  const SchedulerOptions options_;
  base::Clock* const clock_;
  jobs::JobStore* const store_;
  executor::Executor* const executor_;
  metrics::ServiceMetrics* const metrics_;
  const std::shared_ptr<News> news_;
  LiveCluster cluster_;

  // Used by the scheduler's thread (or the test's) alone.
  RunningJobs running_;
  // When a decision was taken, and when the next one is due.
  absl::Time looked_at_ = absl::InfinitePast();
  absl::Time decide_at_ = absl::InfinitePast();
  // Jobs of which the store could not tell what has changed.
  std::set<std::string> unread_;

  absl::Mutex resume_mutex_;  // one Resume() at a time; taken first
  mutable absl::Mutex mutex_;
  std::deque<std::function<void()>> inbox_ ABSL_GUARDED_BY(mutex_);
  bool awake_ ABSL_GUARDED_BY(mutex_) = true;
  // The queue is to be looked at.
  bool look_ ABSL_GUARDED_BY(mutex_) = true;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time stop_at_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();

  std::thread thread_;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_SCHEDULER_H_
