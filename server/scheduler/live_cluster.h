#ifndef RETORT_SERVER_SCHEDULER_LIVE_CLUSTER_H_
#define RETORT_SERVER_SCHEDULER_LIVE_CLUSTER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "server/jobs/job_store.h"
#include "server/scheduler/cluster_state.h"
#include "server/scheduler/cluster_store.h"
#include "server/scheduler/policy.h"

namespace retort::scheduler {

struct LiveClusterOptions {
  PolicyOptions policy;
  // Of what projects have used.
  absl::Duration half_life = absl::Hours(24);
  // The executor has a queue of its own: a gang that is given to it is placed
  // (LiveGang::placed) when Place() says so. Otherwise it is at once.
  bool executor_queues = false;
};

// A decision by name, which holds without the snapshot.
struct Plan {
  struct Start {
    std::string job;
    JobClass job_class = JobClass::kNormal;
    NamedPlacement nodes;
  };
  struct Stop {
    std::string victim;
    std::string job;  // for whose sake
  };
  struct Refusal {
    std::string job;
    std::string reason;
  };
  std::vector<Start> start;
  std::vector<Stop> stop;
  std::vector<Start> promise;
  std::vector<Refusal> refuse;
  absl::Time wake = absl::InfiniteFuture();
};

// What the live service knows of its cluster: a ClusterState that follows the
// job store and the processes, and its lasting part in SQLite. The scheduler's
// thread keeps it and decides by it:
//
//   RETORT_RETURN_IF_ERROR(cluster.Load());
//   cluster.SetNodes(...);
//   for (each job that is not over) cluster.Follow(record, ...);
//   cluster.ForgetUnfollowed();
//   ...
//   cluster.Follow(record, has_process, not_before);  // whenever one changes
//   const Plan plan = cluster.Decide();
//   if (cluster.Commit(plan).ok()) ... carry it out ...
//
// No file is written under its lock. Thread-safe: others may look (Copy,
// Explain) and change projects and drained nodes at any time; all other methods
// are for one thread.
class LiveCluster {
 public:
  // `clock` and `store` outlive it.
  LiveCluster(const LiveClusterOptions& options, base::Clock* clock,
              ClusterStore* store);

  // Projects and drained nodes; what ran and was promised when an earlier
  // server ended is kept for Follow().
  absl::Status Load() ABSL_LOCKS_EXCLUDED(mutex_);
  // Forgets what Load() found of jobs that nobody followed since.
  void ForgetUnfollowed() ABSL_LOCKS_EXCLUDED(mutex_);

  void SetNodes(std::vector<NodeFacts> nodes) ABSL_LOCKS_EXCLUDED(mutex_);

  // The job as it is stored now: puts it where it belongs, into the queue, with
  // what runs, or nowhere. A job with a process holds its nodes whatever its
  // state is, until it has none.
  void Follow(const jobs::JobRecord& record, bool has_process,
              absl::Time not_before) ABSL_LOCKS_EXCLUDED(mutex_);
  // There is no such job any more.
  void Forget(const std::string& job) ABSL_LOCKS_EXCLUDED(mutex_);
  // Its last checkpoint is of that time: only what came later is lost if it is
  // stopped.
  void SetCheckpoint(const std::string& job, absl::Time time)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // When it ends at its present speed. Only training knows that of all that it
  // has to do, and not of one phase: of others nothing is noted.
  void SetEstimatedEnd(const std::string& job, absl::Time time)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // It does not wait in the executor's queue, or not any more. May be repeated.
  void Place(const std::string& job) ABSL_LOCKS_EXCLUDED(mutex_);
  // An executor that places gangs by itself says where this one is.
  void Moved(const std::string& job, const std::vector<std::string>& nodes)
      ABSL_LOCKS_EXCLUDED(mutex_);

  Plan Decide() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Writes down and remembers that what the plan starts holds its nodes, who
  // stops and what is promised. On an error nothing has changed, and nothing of
  // the plan may be carried out.
  absl::Status Commit(const Plan& plan) ABSL_LOCKS_EXCLUDED(mutex_);

  // Jobs that hold nodes; and for whose sake one was asked to stop, or empty.
  std::vector<std::string> Gangs() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::string MakesRoomFor(const std::string& job) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // For everybody.

  ClusterState Copy() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Why a job like this one could never start for that project, or nothing.
  std::optional<std::string> WhyNever(const WaitingJob& job) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // As ClusterStore; what is decided next goes by it.
  absl::StatusOr<ProjectRecord> UpdateProject(
      const std::string& name, const std::string& etag,
      absl::FunctionRef<absl::Status(ProjectRecord*)> change)
      ABSL_LOCKS_EXCLUDED(mutex_, change_mutex_);
  // One that is drained already keeps its reason if there is no other. To undo
  // it where it is not drained changes nothing. NotFound (RESOURCE_NOT_FOUND)
  // if there is no such node.
  absl::Status DrainNode(const std::string& node, const std::string& reason,
                         bool undo) ABSL_LOCKS_EXCLUDED(mutex_, change_mutex_);

  const PolicyOptions& policy() const { return options_.policy; }
  ClusterStore* store() const { return store_; }

 private:
  // As it is given to the executor now.
  LiveGang NewGang(const WaitingJob& job) const;
  // Each adds what is to be written to `change`.
  void FollowGang(const jobs::JobRecord& record, ClusterStore::Change* change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropGang(const std::string& job, ClusterStore::Change* change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FollowWaiting(const jobs::JobRecord& record, absl::Time not_before)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropWaiting(const std::string& job, ClusterStore::Change* change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteUsage(const std::string& project, ClusterStore::Change* change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Logs an error: what is in memory counts, and the next restart finds out.
  void WriteDown(const ClusterStore::Change& change);
  // What Commit() would change, and what it does once that is written.
  ClusterStore::Change ChangeFor(const Plan& plan) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Apply(const Plan& plan) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const LiveClusterOptions options_;
  base::Clock* const clock_;
  ClusterStore* const store_;

  // Held from a change on disk until it is in memory, so that the last one wins
  // in both.
  absl::Mutex change_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  mutable absl::Mutex mutex_;
  ClusterState state_ ABSL_GUARDED_BY(mutex_);
  // What is in a queue or has a claim, by name.
  std::unordered_map<std::string, std::shared_ptr<const WaitingJob>> waiting_
      ABSL_GUARDED_BY(mutex_);
  std::map<std::string, GangRecord> stored_gangs_ ABSL_GUARDED_BY(mutex_);
  std::vector<ClaimRecord> stored_claims_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_LIVE_CLUSTER_H_
