#ifndef RETORT_SERVER_SCHEDULER_PREEMPTION_H_
#define RETORT_SERVER_SCHEDULER_PREEMPTION_H_

#include <vector>

#include "server/scheduler/placement.h"
#include "server/scheduler/policy.h"
#include "server/scheduler/queue_order.h"
#include "server/scheduler/snapshot.h"

namespace retort::scheduler {

// GPU-seconds (a CPU slot counts as in Charge) that are done again when the
// gang stops now: those since its last checkpoint. What it still does on
// request is not lost, but is not relied on either.
double LostWork(const RunningGang& gang, absl::Time now,
                const PolicyOptions& options);

// Where victims are looked for.
struct Hunt {
  // What the candidate may take without any.
  Room room;
  std::vector<bool> nodes;     // where it may go
  std::vector<bool> stopping;  // running gangs that stop already
};

// Whether the gang may be asked to stop for a job of that class at all.
bool IsPrey(const RunningGang& gang, JobClass job_class, absl::Time now,
            const PolicyOptions& options);

// The gangs to stop so that all of `candidate` fits into the room and what they
// hold, by index in Snapshot::running; none if no choice makes room. Only
// preemptible gangs of a class that is truly lower, past `min_run`, not
// `stopping` already. Those with the least lost work first; then those that
// turn out not to be needed are let go, the most lost work first, so that
// without any one of the victims the candidate would not fit.
std::vector<int> ChooseVictims(const Candidate& candidate,
                               const Snapshot& snapshot, Hunt hunt,
                               const PolicyOptions& options);

// When the next gang that is too young now may be asked to stop for a job of
// that class; infinite if there is none.
absl::Time NextVictimAt(JobClass job_class, const Snapshot& snapshot,
                        const PolicyOptions& options);

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_PREEMPTION_H_
