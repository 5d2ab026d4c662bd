#ifndef RETORT_SERVER_SCHEDULER_SNAPSHOT_H_
#define RETORT_SERVER_SCHEDULER_SNAPSHOT_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"

// All that a decision of the scheduler depends on. The words and rules are
// those of docs/scheduling.md.
namespace retort::scheduler {

// Who goes first. A class is asked for; it is a project's right and not its
// share.
enum class JobClass { kLow = 0, kNormal = 1, kHigh = 2 };

// GPUs and CPU slots of one node, or of one rank.
struct Resources {
  int gpus = 0;
  int cpus = 0;
};

// What a job asks for: so many ranks at once, all of them or none.
struct Gang {
  int ranks = 1;
  Resources per_rank = {0, 1};
  // So many ranks always share a node (8 for a node's NVLink); divides `ranks`.
  int ranks_together = 1;
  // 0: as many as fit.
  int max_ranks_per_node = 0;

  int gpus() const { return ranks * per_rank.gpus; }
  int cpus() const { return ranks * per_rank.cpus; }
};

struct NodeRanks {
  int node = 0;  // index in Snapshot::nodes
  int ranks = 0;

  bool operator==(const NodeRanks&) const = default;
};
using Placement = std::vector<NodeRanks>;

struct Node {
  std::string id;
  Resources total;
  Resources free;  // of which no gang, stopping or not, holds anything
  // False: drained or down. Nothing starts there, but what runs there counts.
  bool usable = true;
};

struct Quota {
  static constexpr int kNone = std::numeric_limits<int>::max();

  int max_gpus = kNone;  // held at once
  int max_jobs = kNone;  // running at once
  // GPU-hours of a calendar month: granted, used so far (by what still runs,
  // too), and when the next month begins.
  double max_gpu_hours = std::numeric_limits<double>::infinity();
  double used_gpu_hours = 0;
  absl::Time renews = absl::InfiniteFuture();
};

struct Project {
  std::string name;
  double weight = 1;  // > 0
  // GPU-seconds used, those of the past counting less (FairUsage keeps it).
  double usage = 0;
  Quota quota;
};

struct QueuedJob {
  std::string name;
  int64_t seq = 0;  // order of creation
  int priority = 0;
  Gang gang;
  // The job has ended, or is ended, after so long. Infinite: nobody knows.
  absl::Duration time_limit = absl::InfiniteDuration();
  // Not to be started before: it has just lost a worker. Keep jobs with a long
  // wait out of the queues, for each costs a look (PolicyOptions::depth).
  absl::Time not_before = absl::InfinitePast();
};

struct RunningGang {
  std::string name;
  int64_t seq = 0;
  int project = 0;  // index in Snapshot::projects
  // That of its start (Start::job_class): what its wait had earned counts.
  JobClass job_class = JobClass::kNormal;
  Resources per_rank;
  Placement nodes;
  absl::Time start;
  // By its time limit; for one that is stopping, when it should have stopped.
  absl::Time expected_end = absl::InfiniteFuture();
  // By its present speed, if it knows that. Nothing is decided by it.
  absl::Time estimated_end = absl::InfiniteFuture();
  // It writes checkpoints and may be asked to stop for another.
  bool preemptible = false;
  // It has been asked to stop (Preemption): what it holds is as good as free.
  bool stopping = false;
  absl::Time last_checkpoint = absl::InfinitePast();  // none: lost since start
};

// The jobs of one project and one class that wait.
struct Queue {
  int project = 0;
  JobClass job_class = JobClass::kNormal;
  // Since when its first job has been the first; what aging counts from.
  absl::Time head_since = absl::InfiniteFuture();
  // Higher priority first, then in order of `seq`. The caller keeps it so: a
  // decision never sorts a queue.
  absl::Span<const QueuedJob* const> jobs;
};

// A job for which gangs have been asked to stop: it has left its queue and
// goes before all others, so that what it was promised is not taken from it.
struct Claim {
  int project = 0;
  JobClass job_class = JobClass::kNormal;
  const QueuedJob* job = nullptr;
  // What it was promised (Decision::promise).
  Placement nodes;
};

// Refers to nodes, projects, jobs and gangs of the caller, who keeps them while
// a decision is made and as long as the decision is used.
struct Snapshot {
  absl::Time now;
  absl::Span<const Node> nodes;
  absl::Span<const Project> projects;
  absl::Span<const Queue> queues;  // one per project and class, any order
  absl::Span<const Claim> claims;  // oldest first
  absl::Span<const RunningGang* const> running;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_SNAPSHOT_H_
