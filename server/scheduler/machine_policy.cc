#include "server/scheduler/machine_policy.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "server/scheduler/policy.h"

namespace retort::scheduler {
namespace {

PolicyOptions MachineOptions() {
  PolicyOptions options;
  options.age_step = absl::InfiniteDuration();
  options.backfill = false;
  options.preempt = false;
  options.depth = std::numeric_limits<int>::max();
  options.max_starts = std::numeric_limits<int>::max();
  return options;
}

QueuedJob ToQueued(const WaitingJob& job) {
  QueuedJob queued;
  queued.name = job.name;
  queued.seq = job.seq;
  queued.priority = job.priority;
  queued.gang.per_rank.cpus = job.cpu_threads;
  queued.not_before = job.not_before;
  return queued;
}

RunningGang ToGang(const RunningJob& job) {
  RunningGang gang;
  gang.name = job.name;
  gang.per_rank.cpus = job.cpu_threads;
  gang.nodes = {{0, 1}};
  return gang;
}

template <typename T>
std::vector<const T*> PointersTo(const std::vector<T>& items) {
  std::vector<const T*> pointers;
  for (const T& item : items) pointers.push_back(&item);
  return pointers;
}

}  // namespace

MachineDecision DecideForMachine(const MachineState& machine) {
  Node node;
  node.total.cpus = node.free.cpus = machine.cpu_slots;
  std::vector<RunningGang> gangs;
  for (const RunningJob& job : machine.running) {
    gangs.push_back(ToGang(job));
    node.free.cpus -= job.cpu_threads;
  }
  const Project project;
  MachineDecision result;
  // All that can never run is refused at once, not when its turn comes.
  std::vector<QueuedJob> jobs;
  for (const WaitingJob& waiting : machine.waiting) {
    QueuedJob job = ToQueued(waiting);
    std::optional<std::string> why = WhyNever({&node, 1}, project, job);
    if (why) {
      result.refuse.push_back({job.name, *std::move(why)});
    } else {
      jobs.push_back(std::move(job));
    }
  }
  std::sort(jobs.begin(), jobs.end(),
            [](const QueuedJob& a, const QueuedJob& b) {
              return a.priority != b.priority ? a.priority > b.priority
                                              : a.seq < b.seq;
            });
  const std::vector<const QueuedJob*> line = PointersTo(jobs);
  const std::vector<const RunningGang*> running = PointersTo(gangs);
  Queue queue;
  queue.jobs = line;
  Snapshot snapshot;
  snapshot.now = machine.now;
  snapshot.nodes = {&node, 1};
  snapshot.projects = {&project, 1};
  snapshot.queues = {&queue, 1};
  snapshot.running = running;
  const Decision decision = Decide(snapshot, MachineOptions());
  for (const Start& start : decision.start) {
    result.start.push_back(start.job->name);
  }
  result.wake = decision.wake;
  return result;
}

}  // namespace retort::scheduler
