#include "server/simulator/workload.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "absl/strings/str_cat.h"

namespace retort::simulator {
namespace {

using Random = std::mt19937_64;

double Uniform(Random* random) {
  return std::uniform_real_distribution<double>(0, 1)(*random);
}

int PickSize(int largest, Random* random) {
  const double u = Uniform(random);
  if (u < 0.35) return 1;
  if (u < 0.48) return 2;
  if (u < 0.60) return 4;
  // P(size >= 8 k) = 1 / k, then down to a power of two.
  const double k = 1 / (1 - Uniform(random));
  const int power = static_cast<int>(std::min(std::log2(k), 20.0));
  int gpus = std::min(8 << power, largest);
  if (Uniform(random) < 0.1) gpus = gpus / 2 + gpus / 4;
  return gpus;
}

// The largest group of at most eight ranks that divides the gang.
int Together(int ranks) {
  for (int group = 8; group > 1; --group) {
    if (ranks % group == 0) return group;
  }
  return 1;
}

absl::Duration PickTime(const WorkloadOptions& options, Random* random) {
  const double z = std::normal_distribution<double>()(*random);
  const absl::Duration time =
      options.median_time * std::exp(options.sigma_time * z);
  return std::clamp(absl::Trunc(time, absl::Seconds(1)), absl::Minutes(1),
                    options.longest_time);
}

absl::Duration PickLimit(const WorkloadOptions& options, absl::Duration work,
                         Random* random) {
  if (Uniform(random) < options.without_limit) return absl::InfiniteDuration();
  if (Uniform(random) < 0.1) return work;
  const double factor = 1 + 4 * std::pow(Uniform(random), 2);
  return absl::Ceil(work * factor, absl::Minutes(15));
}

scheduler::JobClass PickClass(const WorkloadOptions& options, Random* random) {
  const double u = Uniform(random);
  if (u < options.high) return scheduler::JobClass::kHigh;
  if (u < options.high + options.low) return scheduler::JobClass::kLow;
  return scheduler::JobClass::kNormal;
}

std::vector<SimulatedProject> MakeProjects(int gpus) {
  // What projects ask for is not what they are due.
  constexpr double kWeight[] = {1, 1, 1, 2, 2, 4, 4, 5};
  constexpr double kDemand[] = {8, 4, 6, 10, 12, 18, 22, 20};
  std::vector<SimulatedProject> projects;
  for (int i = 0; i < 8; ++i) {
    SimulatedProject project;
    project.project.name = absl::StrCat("p", i);
    project.project.weight = kWeight[i];
    project.demand = kDemand[i];
    projects.push_back(project);
  }
  // Three times its share for one, and a limit of jobs for another.
  projects[0].project.quota.max_gpus = std::max(3 * gpus / 20, 1);
  projects[3].project.quota.max_jobs = std::max(gpus / 10, 1);
  return projects;
}

class Generator {
 public:
  Generator(const WorkloadOptions& options, Workload* workload)
      : options_(options), workload_(*workload), random_(options.seed) {
    for (const SimulatedProject& project : workload->projects) {
      demands_.push_back(project.demand);
    }
  }

  void AddJob(absl::Time submitted) {
    SimulatedJob job;
    std::discrete_distribution<int> pick(demands_.begin(), demands_.end());
    job.project = pick(random_);
    job.job_class = PickClass(options_, &random_);
    job.submitted = submitted;
    job.work = PickTime(options_, &random_);
    job.preemptible = Uniform(&random_) < options_.preemptible;
    scheduler::QueuedJob& queued = job.queued;
    queued.seq = static_cast<int64_t>(workload_.jobs.size());
    queued.name = absl::StrCat("j", queued.seq);
    queued.priority = Uniform(&random_) < 0.1 ? 1 : 0;
    queued.time_limit = PickLimit(options_, job.work, &random_);
    const int gpus =
        std::min(PickSize(options_.largest_gpus, &random_),
                 workload_.projects[job.project].project.quota.max_gpus);
    queued.gang.ranks = gpus;
    queued.gang.per_rank = {1, options_.cpus_per_gpu / 2};
    queued.gang.ranks_together = Together(gpus);
    workload_.jobs.push_back(job);
  }

  absl::Duration UntilNext() {
    const double hours =
        -std::log(1 - Uniform(&random_)) / options_.arrivals_per_hour;
    return absl::Ceil(absl::Hours(hours), absl::Seconds(1));
  }

 private:
  const WorkloadOptions& options_;
  Workload& workload_;
  Random random_;
  std::vector<double> demands_;
};

}  // namespace

Workload MakeWorkload(const WorkloadOptions& options, absl::Time start) {
  Workload workload;
  const scheduler::Resources all{options.gpus_per_node,
                                 options.gpus_per_node * options.cpus_per_gpu};
  for (int i = 0; i < options.nodes; ++i) {
    workload.nodes.push_back({absl::StrCat("n", i), all, all});
  }
  workload.projects = MakeProjects(options.nodes * options.gpus_per_node);
  Generator generator(options, &workload);
  for (int i = 0; i < options.backlog; ++i) generator.AddJob(start);
  if (options.arrivals_per_hour <= 0) return workload;
  absl::Time at = start + generator.UntilNext();
  while (at < start + options.arrive_for) {
    generator.AddJob(at);
    at += generator.UntilNext();
  }
  return workload;
}

}  // namespace retort::simulator
