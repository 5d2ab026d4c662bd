#ifndef RETORT_SERVER_SCHEDULER_CLUSTER_STATE_H_
#define RETORT_SERVER_SCHEDULER_CLUSTER_STATE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/scheduler/policy.h"
#include "server/scheduler/project_usage.h"
#include "server/scheduler/snapshot.h"
#include "server/scheduler/waiting_jobs.h"

namespace retort::scheduler {

// Ranks by the name of their node: a placement that outlives a snapshot.
using NamedPlacement = std::vector<std::pair<std::string, int>>;

// A machine, as its executor tells of it.
struct NodeFacts {
  std::string name;
  Resources total;
  bool usable = true;
  std::string reason;  // why not
};

// A job that waits, and whose it is. Never changes: a changed job is another.
struct WaitingJob : QueuedJob {
  std::string project;
  JobClass job_class = JobClass::kNormal;
  absl::Time since = absl::InfinitePast();  // in the queue
  bool preemptible = false;                 // once it runs
};

// A job with processes, or with some that are about to be started.
struct LiveGang {
  std::string name;
  std::string project;
  int64_t seq = 0;
  JobClass job_class = JobClass::kNormal;  // at its start
  Gang gang;
  NamedPlacement nodes;
  // False: it waits in the executor's own queue. Its nodes are kept for it, but
  // it uses nothing yet, and its time has not begun.
  bool placed = true;
  // Of its processes; of its wait, for one that is not placed.
  absl::Time start;
  absl::Duration time_limit = absl::InfiniteDuration();
  absl::Time estimated_end = absl::InfiniteFuture();
  bool preemptible = false;
  absl::Time last_checkpoint = absl::InfinitePast();
  // Its processes are about to end, by then at the latest as far as one knows;
  // and for whose sake, if it makes room for another job.
  bool stopping = false;
  absl::Time stop_by = absl::InfiniteFuture();
  std::string room_for;
};

// What was promised to a job that others make room for (Claim).
struct LiveClaim {
  std::shared_ptr<const WaitingJob> job;
  JobClass job_class = JobClass::kNormal;
  NamedPlacement nodes;
};

struct LiveProject {
  LiveProject(std::string n, absl::Duration half_life, const UsageRecord& used)
      : name(std::move(n)), usage(half_life, used) {}

  std::string name;
  double weight = 1;
  Quota limits;  // what is used and when it renews is filled in by a Picture
  ProjectUsage usage;
};

// What a project's gangs hold, and what of it they use (LiveGang::placed).
struct Holdings {
  int gpus = 0;
  int cpus = 0;
  int jobs = 0;
  int gpus_in_use = 0;
  double charge = 0;  // for what is in use, in GPUs as its share counts them
};

struct ClusterStateOptions {
  // Of what projects have used.
  absl::Duration half_life = absl::Hours(24);
  // PolicyOptions::gpus_per_cpu.
  double gpus_per_cpu = PolicyOptions().gpus_per_cpu;
};

// Nodes, projects, what waits and what runs, by name: what a snapshot is made
// of. Memory alone, kept in step by its owner. A copy takes a millisecond for
// 100,000 jobs. Not thread-safe.
class ClusterState {
 public:
  explicit ClusterState(const ClusterStateOptions& options = {})
      : options_(options) {}

  void SetNodes(std::vector<NodeFacts> nodes) { nodes_ = std::move(nodes); }
  // Nothing starts on a drained node, known or not.
  void Drain(const std::string& node, const std::string& reason) {
    drained_[node] = reason;
  }
  void Undrain(const std::string& node) { drained_.erase(node); }
  // Why a node is drained; empty too for one that is not.
  std::string DrainReason(const std::string& node) const;
  // With those that are drained marked as not usable.
  std::vector<NodeFacts> nodes() const;

  // Limits and weight of a project; what it has used, for one that is new.
  void SetProject(const std::string& name, double weight, const Quota& limits,
                  const UsageRecord& used);
  // Makes the project with defaults if it is new.
  int ProjectIndex(const std::string& name, absl::Time now);
  const std::vector<LiveProject>& projects() const { return projects_; }
  Holdings HeldBy(const std::string& project) const;
  // What the project has used until `now`.
  UsageRecord UsageOf(const LiveProject& project, absl::Time now) const;

  void Enqueue(std::shared_ptr<const WaitingJob> job, absl::Time now);
  void Dequeue(const WaitingJob& job, absl::Time now);
  const WaitingJobs& waiting() const { return waiting_; }
  // The project's waiting jobs, claims among them.
  int64_t WaitingOf(const std::string& project) const;

  // Oldest first.
  std::vector<LiveClaim>* claims() { return &claims_; }
  const std::vector<LiveClaim>& claims() const { return claims_; }

  // The gang holds its nodes from now on; the usage of its project until then
  // is settled. Replaces one of the same name.
  void PutGang(LiveGang gang, absl::Time now);
  void RemoveGang(const std::string& name, absl::Time now);
  // The gang has left the executor's queue: it starts now, and is charged for.
  void PlaceGang(const std::string& name, absl::Time now);
  // As PutGang, for one that has held its nodes since the project's usage was
  // last settled: of an earlier server.
  void RestoreGang(LiveGang gang);
  // Null if there is none. What it holds must not be changed by hand.
  LiveGang* FindGang(const std::string& name);
  const std::map<std::string, LiveGang>& gangs() const { return gangs_; }
  // For a gang of which nobody knows where it is: where there is room, else
  // where there would be, so that nothing else starts there.
  NamedPlacement GuessPlacement(const Gang& gang) const;

  const ClusterStateOptions& options() const { return options_; }

 private:
  void Settle(const std::string& project, absl::Time now);

  const ClusterStateOptions options_;
  std::vector<NodeFacts> nodes_;
  std::map<std::string, std::string> drained_;  // to the reason
  std::vector<LiveProject> projects_;
  std::map<std::string, int> project_index_;
  WaitingJobs waiting_;
  std::vector<LiveClaim> claims_;
  std::map<std::string, LiveGang> gangs_;
};

// A snapshot of a state at a time, with all that it refers to. The state must
// not change while it is in use.
class Picture {
 public:
  Picture(const ClusterState& state, absl::Time now);
  Picture(const Picture&) = delete;
  Picture& operator=(const Picture&) = delete;

  const Snapshot& snapshot() const { return snapshot_; }
  NamedPlacement Named(const Placement& nodes) const;

 private:
  Placement Indexed(const NamedPlacement& nodes) const;
  void AddProjects(const ClusterState& state, absl::Time now);
  void AddGangs(const ClusterState& state, absl::Time now);

  std::map<std::string, int> node_index_;
  std::vector<Node> nodes_;
  std::map<std::string, int> project_index_;
  std::vector<Project> projects_;
  std::vector<Queue> queues_;
  std::vector<Claim> claims_;
  std::vector<RunningGang> gangs_;
  std::vector<const RunningGang*> running_;
  Snapshot snapshot_;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_CLUSTER_STATE_H_
