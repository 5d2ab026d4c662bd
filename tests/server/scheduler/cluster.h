#ifndef RETORT_TESTS_SERVER_SCHEDULER_CLUSTER_H_
#define RETORT_TESTS_SERVER_SCHEDULER_CLUSTER_H_

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/scheduler/placement.h"
#include "server/scheduler/policy.h"

namespace retort::testing {

namespace sc = scheduler;

inline constexpr sc::JobClass kLow = sc::JobClass::kLow;
inline constexpr sc::JobClass kNormal = sc::JobClass::kNormal;
inline constexpr sc::JobClass kHigh = sc::JobClass::kHigh;

// A small cluster to make snapshots of. Nodes have so many GPUs and eight CPU
// slots for each.
class Cluster {
 public:
  Cluster(int nodes, int gpus) {
    for (int i = 0; i < nodes; ++i) {
      const sc::Resources all{gpus, 8 * gpus};
      nodes_.push_back({absl::StrCat("n", i), all, all});
    }
    now = absl::FromUnixSeconds(1800000000);
  }

  int AddProject(const std::string& name, double weight = 1) {
    projects.push_back({name, weight});
    return static_cast<int>(projects.size()) - 1;
  }

  // A job of `ranks` ranks with one GPU each.
  sc::QueuedJob& Queue(const std::string& name, int ranks,
                       absl::Duration limit = absl::InfiniteDuration(),
                       sc::JobClass job_class = sc::JobClass::kNormal,
                       int project = 0) {
    sc::QueuedJob job;
    job.name = name;
    job.seq = ++seq_;
    job.gang = {ranks, {1, 1}};
    job.time_limit = limit;
    jobs_.push_back(job);
    Line& line = lines_[{project, job_class}];
    line.jobs.push_back(&jobs_.back());
    return jobs_.back();
  }

  // A gang with one GPU per rank on these nodes.
  sc::RunningGang& Run(const std::string& name, const sc::Placement& nodes,
                       absl::Duration ends_in = absl::InfiniteDuration(),
                       sc::JobClass job_class = sc::JobClass::kNormal,
                       int project = 0) {
    sc::RunningGang gang;
    gang.name = name;
    gang.seq = ++seq_;
    gang.project = project;
    gang.job_class = job_class;
    gang.per_rank = {1, 1};
    gang.nodes = nodes;
    gang.start = now - absl::Hours(1);
    gang.expected_end = now + ends_in;
    for (const sc::NodeRanks& at : nodes) {
      nodes_[at.node].free.gpus -= at.ranks;
      nodes_[at.node].free.cpus -= at.ranks;
    }
    gangs_.push_back(gang);
    return gangs_.back();
  }

  // Since when the first job of that queue has been the first.
  absl::Time& HeadSince(int project, sc::JobClass job_class) {
    return lines_[{project, job_class}].head_since;
  }
  std::vector<const sc::QueuedJob*>& JobsOf(int project,
                                            sc::JobClass job_class) {
    return lines_[{project, job_class}].jobs;
  }
  void AddClaim(const sc::QueuedJob& job, sc::JobClass job_class,
                int project = 0, const sc::Placement& nodes = {}) {
    auto& jobs = lines_[{project, job_class}].jobs;
    jobs.erase(std::find(jobs.begin(), jobs.end(), &job));
    claims_.push_back({project, job_class, &job, nodes});
  }

  // Valid until the cluster changes.
  const sc::Snapshot& snapshot() {
    queues_.clear();
    running_.clear();
    for (auto& [key, line] : lines_) {
      std::stable_sort(line.jobs.begin(), line.jobs.end(),
                       [](const sc::QueuedJob* a, const sc::QueuedJob* b) {
                         return a->priority > b->priority;
                       });
      queues_.push_back({key.first, key.second, line.head_since, line.jobs});
    }
    for (const sc::RunningGang& gang : gangs_) running_.push_back(&gang);
    snapshot_ = {now, nodes_, projects, queues_, claims_, running_};
    return snapshot_;
  }

  sc::Decision Decide() { return sc::Decide(snapshot(), options); }

  // The names of what starts, in order.
  std::vector<std::string> Started() {
    std::vector<std::string> names;
    for (const sc::Start& start : Decide().start) {
      names.push_back(start.job->name);
    }
    return names;
  }

  std::vector<sc::Node>& nodes() { return nodes_; }
  std::deque<sc::RunningGang>& gangs() { return gangs_; }

  absl::Time now;
  std::vector<sc::Project> projects;
  sc::PolicyOptions options;

 private:
  struct Line {
    std::vector<const sc::QueuedJob*> jobs;
    absl::Time head_since = absl::InfiniteFuture();
  };
  int64_t seq_ = 0;
  std::vector<sc::Node> nodes_;
  std::deque<sc::QueuedJob> jobs_;
  std::deque<sc::RunningGang> gangs_;
  std::map<std::pair<int, sc::JobClass>, Line> lines_;
  std::vector<sc::Claim> claims_;
  std::vector<sc::Queue> queues_;
  std::vector<const sc::RunningGang*> running_;
  sc::Snapshot snapshot_;
};

}  // namespace retort::testing

#endif  // RETORT_TESTS_SERVER_SCHEDULER_CLUSTER_H_
