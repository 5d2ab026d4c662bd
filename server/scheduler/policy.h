#ifndef RETORT_SERVER_SCHEDULER_POLICY_H_
#define RETORT_SERVER_SCHEDULER_POLICY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/scheduler/snapshot.h"

// Which jobs start next and where, as a pure function: from a snapshot to
// decisions, with no state, clock or I/O. Same snapshot, same decision.
// docs/scheduling.md has the rules in words, and what they do to a cluster.
namespace retort::scheduler {

enum class Packing {
  kTight,   // fewest nodes, and of those the fullest
  kSpread,  // fewest nodes, and of those the emptiest
};

struct PolicyOptions {
  // The first job of a queue counts one class higher for each such wait.
  // Infinite: never.
  absl::Duration age_step = absl::Hours(12);
  // A project's running GPUs count as so much usage each; larger: present
  // shares count more, and past ones less.
  absl::Duration share_horizon = absl::Hours(4);
  // What a CPU slot counts in GPUs, in the share of a job whose CPU slots
  // weigh more than its GPUs.
  double gpus_per_cpu = 1.0 / 16;
  Packing packing = Packing::kTight;
  // Lets jobs behind one that waits for room start if they do not delay it.
  bool backfill = true;
  // Jobs looked at in a decision that do not start. Bounds its time.
  int depth = 500;
  // Starts in a decision; beyond, `wake` is now. Bounds its time.
  int max_starts = 64;
  bool preempt = true;
  // Jobs in a decision for which gangs are asked to stop; beyond, as above.
  int max_preemptors = 8;
  // A gang is not asked to stop in its first `min_run`.
  absl::Duration min_run = absl::Minutes(10);
  // What a gang that is asked to stop takes to write its checkpoint. Nobody
  // is asked for the sake of a job that may start within that time anyway.
  absl::Duration stop_time = absl::Minutes(2);
};

struct Start {
  const QueuedJob* job = nullptr;
  Placement nodes;  // by index of the node
  // The class that it has by its wait, at most HIGH: what the gang has while
  // it runs. Else one that was let in for its age would be thrown out at once.
  JobClass job_class = JobClass::kNormal;
};

// Ask `victim` to write a checkpoint and stop, for the sake of `job`, and mark
// it as stopping; it goes back to its queue when it has stopped.
struct Preemption {
  const RunningGang* victim = nullptr;
  const QueuedJob* job = nullptr;
};

// A job that can never start here, and why. ("Not now" is no refusal.)
struct Refusal {
  const QueuedJob* job = nullptr;
  std::string reason;
};

struct Decision {
  std::vector<Start> start;  // in this order
  std::vector<Preemption> preempt;
  // For which jobs, and what they will have: move these from their queues to
  // the claims.
  std::vector<Start> promise;
  std::vector<Refusal> refuse;
  // When the answer may change by the passing of time alone.
  absl::Time wake = absl::InfiniteFuture();
};

// The decision for a snapshot. Its time does not grow with the length of the
// queues. Refusals are of jobs that it has come to look at.
Decision Decide(const Snapshot& snapshot, const PolicyOptions& options);

// Why a job of that project could never start on these nodes (drained ones
// count, since they come back), or nothing. For a job that is submitted, too.
std::optional<std::string> WhyNever(absl::Span<const Node> nodes,
                                    const Project& project,
                                    const QueuedJob& job);

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_POLICY_H_
