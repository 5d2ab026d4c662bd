#ifndef RETORT_SERVER_SCHEDULER_POLICY_H_
#define RETORT_SERVER_SCHEDULER_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

// Which job starts next, as a pure function: from a snapshot to decisions,
// with no state, clock or I/O.
namespace retort::scheduler {

struct QueuedJob {
  std::string name;
  int64_t seq = 0;  // order of creation
  int priority = 0;
  int cpu_threads = 1;
  // Not to be started before: it has just lost a worker.
  absl::Time not_before = absl::InfinitePast();
};

struct RunningJob {
  std::string name;
  int cpu_threads = 1;
};

struct Snapshot {
  absl::Time now;
  int cpu_slots = 1;
  std::vector<QueuedJob> queued;    // in any order
  std::vector<RunningJob> running;  // every job that has a process
};

struct Decision {
  // Jobs to start now, in this order.
  std::vector<std::string> start;
  // A job that can never start here, and why. ("Not now" is no refusal.)
  struct Refusal {
    std::string name;
    std::string reason;
  };
  std::vector<Refusal> refuse;
  // When the answer may change by the passing of time alone.
  absl::Time wake = absl::InfiniteFuture();
};

// Higher priority first, then in order of creation. A job that does not fit
// now holds back those behind it (so that a large job is not starved by small
// ones); one that waits out a lost worker does not.
Decision Decide(const Snapshot& snapshot);

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_POLICY_H_
