#ifndef RETORT_SERVER_SIMULATOR_MEASURES_H_
#define RETORT_SERVER_SIMULATOR_MEASURES_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace retort::simulator {

// Some numbers, summed up.
class Sample {
 public:
  void Add(double value) { values_.push_back(value); }
  // {"count", "mean", "p50", "p90", "p99", "max"}; count alone if empty.
  nlohmann::ordered_json Summary() const;

 private:
  std::vector<double> values_;
};

// (sum x)^2 / (n sum x^2): 1 if all are equal, 1/n if one has all (Jain, Chiu
// and Hawe, 1984). 1 if there is nothing.
double JainIndex(const std::vector<double>& values);

// What a simulation has come to.
struct Measures {
  // GPU-seconds held by gangs, and there (on usable nodes): of all time, and
  // while waiting jobs whose quotas allow it asked for as many as there are.
  double used = 0, there = 0;
  double used_in_demand = 0, there_in_demand = 0;
  // GPU-seconds by project, while each of them had enough waiting in class
  // NORMAL or above to use its share; and for how long that was.
  std::vector<double> fair_used;
  absl::Duration fair_time;
  // Hourly: part of the GPUs in use, and jobs that wait.
  std::vector<double> hourly_used;
  std::vector<int64_t> hourly_waiting;
  // Hours from submission to the first start: of the jobs that waited at the
  // start and of those that came later, by class; of the largest gangs.
  std::array<Sample, 3> wait_backlog, wait_arrived;
  Sample wait_large;
  // Of gangs of class HIGH with 64 GPUs and more that came after the first
  // twelve hours: those that preemption is for.
  Sample wait_urgent;
  // Milliseconds of each decision: by the clock, of the processor; and the
  // latter while at least nine tenths of the backlog still waited.
  Sample decision_wall, decision_cpu, decision_cpu_full_queue;
  // Broken promises of the policy; all must stay 0.
  int64_t gangs_split = 0, overcommitted = 0, over_quota = 0;
  int64_t preempted_equal_or_higher = 0;
  int64_t starts = 0, preemptions = 0, preemptors = 0, refused = 0;
  int64_t node_failures = 0, gangs_failed = 0;
  // GPU-hours done again: after preemptions, after failures of nodes.
  double lost_to_preemption = 0, lost_to_failures = 0;
  int64_t finished = 0, unfinished = 0;
  absl::Duration makespan;

  // `weights` of the projects, and their names.
  nlohmann::ordered_json ToJson(const std::vector<std::string>& names,
                                const std::vector<double>& weights) const;
};

}  // namespace retort::simulator

#endif  // RETORT_SERVER_SIMULATOR_MEASURES_H_
