#ifndef RETORT_SERVER_SCHEDULER_MACHINE_POLICY_H_
#define RETORT_SERVER_SCHEDULER_MACHINE_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

// The policy (policy.h) for a service that runs its jobs on its own machine:
// one node with CPU slots, one line for all jobs, nobody asked to stop.
namespace retort::scheduler {

struct WaitingJob {
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

struct MachineState {
  absl::Time now;
  int cpu_slots = 1;
  std::vector<WaitingJob> waiting;  // in any order
  std::vector<RunningJob> running;  // every job that has a process
};

struct MachineDecision {
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

// Higher priority first, then in order of creation, whatever the project. A job
// that does not fit now holds back those behind it (so that a large job is not
// starved by small ones: nobody knows how long jobs take here, so nothing is
// backfilled); one that waits out a lost worker does not.
MachineDecision DecideForMachine(const MachineState& machine);

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_MACHINE_POLICY_H_
