#ifndef RETORT_SERVER_SIMULATOR_WORKLOAD_H_
#define RETORT_SERVER_SIMULATOR_WORKLOAD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/scheduler/snapshot.h"

namespace retort::simulator {

// A synthetic cluster and what is asked of it. The defaults are those of
// docs/scheduling.md.
struct WorkloadOptions {
  uint64_t seed = 1;
  int nodes = 1250;
  int gpus_per_node = 8;
  int cpus_per_gpu = 16;
  // Jobs that wait at the start, and those that come later (Poisson).
  int backlog = 100000;
  double arrivals_per_hour = 200;
  absl::Duration arrive_for = absl::Hours(24 * 5);
  // Run time: lognormal, cut off.
  absl::Duration median_time = absl::Minutes(30);
  double sigma_time = 1.5;
  absl::Duration longest_time = absl::Hours(72);
  int largest_gpus = 1024;
  // Of jobs: those of class HIGH and LOW; those whose length is unknown.
  double high = 0.05, low = 0.35;
  double without_limit = 0.2;
  double preemptible = 0.9;
};

struct SimulatedJob {
  scheduler::QueuedJob queued;  // its time limit is what is left of it
  int project = 0;
  scheduler::JobClass job_class = scheduler::JobClass::kNormal;
  absl::Time submitted;
  absl::Duration work;  // what it really takes
  bool preemptible = true;
};

struct SimulatedProject {
  scheduler::Project project;
  double demand = 1;  // its part of all jobs, unnormalised
};

struct Workload {
  std::vector<scheduler::Node> nodes;
  std::vector<SimulatedProject> projects;
  std::vector<SimulatedJob> jobs;  // by time of submission
};

// Same options, same workload (with one standard library). Sizes: 60 % below
// eight GPUs, the rest powers of two up to `largest_gpus` with
// P(size >= s) ~ 1 / s, so that each power of two has about the same part of
// the GPU time; one in ten is no power of two. Time limits: what a job takes,
// times 1 to 5; one in ten takes all of its limit. Ranks have one GPU; up to
// eight of them share a node.
Workload MakeWorkload(const WorkloadOptions& options, absl::Time start);

}  // namespace retort::simulator

#endif  // RETORT_SERVER_SIMULATOR_WORKLOAD_H_
