#include "server/simulator/waiting_jobs.h"

#include <algorithm>

#include "core/base/check.h"

namespace retort::simulator {
namespace {

using scheduler::JobClass;
using scheduler::QueuedJob;

constexpr int kClasses = 3;

bool Before(const QueuedJob* a, const QueuedJob* b) {
  return a->priority != b->priority ? a->priority > b->priority
                                    : a->seq < b->seq;
}

}  // namespace

WaitingJobs::WaitingJobs(int projects)
    : lines_(projects * kClasses), queues_(projects * kClasses) {}

WaitingJobs::Line& WaitingJobs::LineOf(int project, JobClass job_class) {
  return lines_[project * kClasses + static_cast<int>(job_class)];
}

void WaitingJobs::Add(int project, JobClass job_class, const QueuedJob* job,
                      absl::Time now) {
  Line& line = LineOf(project, job_class);
  const auto at =
      std::lower_bound(line.jobs.begin(), line.jobs.end(), job, Before);
  if (at == line.jobs.begin()) line.head_since = now;
  line.jobs.insert(at, job);
  ++size_;
}

void WaitingJobs::Remove(int project, JobClass job_class, const QueuedJob* job,
                         absl::Time now) {
  Line& line = LineOf(project, job_class);
  const auto at =
      std::lower_bound(line.jobs.begin(), line.jobs.end(), job, Before);
  RETORT_CHECK(at != line.jobs.end() && *at == job, job->name);
  if (at == line.jobs.begin()) line.head_since = now;
  line.jobs.erase(at);
  --size_;
}

absl::Span<const scheduler::Queue> WaitingJobs::queues() {
  for (size_t i = 0; i < lines_.size(); ++i) {
    queues_[i] = {static_cast<int>(i) / kClasses,
                  static_cast<JobClass>(i % kClasses), lines_[i].head_since,
                  lines_[i].jobs};
  }
  return queues_;
}

}  // namespace retort::simulator
