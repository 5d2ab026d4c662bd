#include "server/scheduler/quota_book.h"

#include <algorithm>

namespace retort::scheduler {

QuotaBook::QuotaBook(const Snapshot& snapshot)
    : snapshot_(snapshot), held_(snapshot.projects.size()) {
  for (size_t i = 0; i < held_.size(); ++i) {
    held_[i].gpu_hours = snapshot.projects[i].quota.used_gpu_hours;
  }
  for (const RunningGang* gang : snapshot.running) {
    int gpus = 0;
    for (const NodeRanks& at : gang->nodes) {
      gpus += at.ranks * gang->per_rank.gpus;
    }
    Held& held = held_[gang->project];
    held.gpus += gpus;
    ++held.jobs;
    held.gpu_hours += Hours(gang->project, gpus, gang->expected_end);
  }
}

double QuotaBook::Hours(int project, int gpus, absl::Time end) const {
  if (end == absl::InfiniteFuture()) return 0;
  const Quota& quota = snapshot_.projects[project].quota;
  const absl::Duration time = std::min(end, quota.renews) - snapshot_.now;
  return gpus * std::max(0.0, absl::ToDoubleHours(time));
}

QuotaLimit QuotaBook::Check(int project, const QueuedJob& job) const {
  const Quota& quota = snapshot_.projects[project].quota;
  const Held& held = held_[project];
  if (held.jobs >= quota.max_jobs) return QuotaLimit::kJobs;
  const int gpus = job.gang.gpus();
  if (gpus == 0) return QuotaLimit::kNone;
  if (gpus > quota.max_gpus - held.gpus) return QuotaLimit::kGpus;
  const double hours =
      held.gpu_hours + Hours(project, gpus, snapshot_.now + job.time_limit);
  const bool all_used = held.gpu_hours >= quota.max_gpu_hours;
  if (hours > quota.max_gpu_hours || all_used) return QuotaLimit::kGpuHours;
  return QuotaLimit::kNone;
}

void QuotaBook::Add(int project, const QueuedJob& job) {
  Held& held = held_[project];
  held.gpus += job.gang.gpus();
  ++held.jobs;
  held.gpu_hours +=
      Hours(project, job.gang.gpus(), snapshot_.now + job.time_limit);
}

}  // namespace retort::scheduler
