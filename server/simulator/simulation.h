#ifndef RETORT_SERVER_SIMULATOR_SIMULATION_H_
#define RETORT_SERVER_SIMULATOR_SIMULATION_H_

#include <cstdint>
#include <deque>
#include <queue>
#include <random>
#include <vector>

#include "absl/time/time.h"
#include "server/scheduler/fair_usage.h"
#include "server/scheduler/policy.h"
#include "server/scheduler/snapshot.h"
#include "server/scheduler/waiting_jobs.h"
#include "server/simulator/measures.h"
#include "server/simulator/workload.h"

namespace retort::simulator {

struct SimulationOptions {
  scheduler::PolicyOptions policy;
  uint64_t seed = 2;
  // Projects, classes and priorities are forgotten: one line.
  bool one_line = false;
  // Decisions are at least so far apart: what happens meanwhile is seen
  // together, as by a service whose loop takes a moment.
  absl::Duration decide_every = absl::Seconds(10);
  // Half-life of what projects have used.
  absl::Duration half_life = absl::Hours(24);
  absl::Duration checkpoint_every = absl::Minutes(30);
  // A gang that is asked to stop takes up to twice `mean_stop`; in one of
  // `failed_stops` it loses what it has done since its last checkpoint.
  absl::Duration mean_stop = absl::Minutes(1);
  double failed_stops = 0.03;
  // To load a checkpoint and start again: done again, hence lost.
  absl::Duration restart = absl::Minutes(1);
  // A node's failures are so far apart (exponential); it is away for
  // `repair`. Infinite: none.
  absl::Duration mean_between_failures = absl::Hours(24 * 90);
  absl::Duration repair = absl::Hours(2);
  // Hands over after so much simulated time at the latest.
  absl::Duration until = absl::Hours(24 * 365);
};

// Drives Decide() over a workload, event by event, until all jobs are done, and
// counts. Every decision is checked as it is carried out: no gang in part, no
// node over what it has, no project over its quota. Use once.
class Simulation {
 public:
  Simulation(const SimulationOptions& options, Workload workload);

  Measures Run();

 private:
  enum class Kind { kArrives, kEnds, kStopped, kNodeFails, kNodeBack, kDecide };
  struct Event {
    absl::Time at;
    int64_t order;  // of equal times: the one that was planned first
    Kind kind;
    int index;  // job or node
    int run;    // of the job
    bool operator>(const Event& other) const;
  };
  struct JobState {
    absl::Duration done;     // of its work
    absl::Duration limit;    // at first
    absl::Duration restart;  // to be done again in this run
    int run = 0;             // which try this is
    bool started = false;
    bool ended = false;
    int running_at = -1;  // in running_
    scheduler::RunningGang gang;
  };

  void Plan(absl::Time at, Kind kind, int index = 0, int run = 0);
  void Handle(const Event& event);
  // Into its queue, and out of it.
  void Submit(int job);
  void Unqueue(int job);
  void CountWaiting(int job, int sign);
  void Advance(absl::Time to);
  void DecideNow();
  void CarryOut(const scheduler::Decision& decision);
  void StartJob(const scheduler::Start& start);
  void AskToStop(const scheduler::Preemption& preemption);
  // The job's gang is gone from its nodes.
  void Leave(int job);
  void EndJob(int job);
  // Back to the queue, with what it has done when it kept so much.
  void Requeue(int job, absl::Duration kept, absl::Time not_before);
  void Stopped(int job);
  void FailNode(int node);
  void RefreshCheckpoints();
  // GPUs that waiting jobs ask for, as far as quotas let them have them.
  int64_t AllowedDemand() const;
  void CheckQuota(int project);
  int JobOf(const scheduler::QueuedJob* job) const;
  int LineProject(int job) const;
  scheduler::JobClass LineClass(int job) const;
  scheduler::Snapshot MakeSnapshot();

  const SimulationOptions options_;
  Workload workload_;
  std::mt19937_64 random_;
  std::vector<JobState> states_;  // by job
  std::vector<scheduler::Project> projects_;
  std::vector<scheduler::FairUsage> usage_;
  std::vector<int> project_gpus_, project_jobs_;  // held and running
  // Asked for by what waits; by that of class NORMAL or above.
  std::vector<int64_t> waiting_gpus_, urgent_gpus_;
  scheduler::WaitingJobs waiting_;
  std::vector<scheduler::Queue> queues_;  // of these, for a snapshot
  std::vector<scheduler::Claim> claims_;
  std::vector<const scheduler::RunningGang*> running_;

  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events_;
  int64_t planned_ = 0;
  absl::Time start_, now_;
  absl::Time last_decision_ = absl::InfinitePast();
  absl::Time next_decision_ = absl::InfiniteFuture();
  int64_t backlog_ = 0;  // jobs that wait at the start
  int64_t unfinished_ = 0;
  int64_t used_gpus_ = 0, usable_gpus_ = 0;
  double hour_used_ = 0, hour_there_ = 0;
  absl::Time hour_ends_;
  Measures measures_;
};

}  // namespace retort::simulator

#endif  // RETORT_SERVER_SIMULATOR_SIMULATION_H_
