#include "server/scheduler/waiting_jobs.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace retort::scheduler {
namespace {

constexpr int kClasses = 3;

bool Before(const QueuedJob* a, const QueuedJob* b) {
  return a->priority != b->priority ? a->priority > b->priority
                                    : a->seq < b->seq;
}

}  // namespace

WaitingJobs::Line& WaitingJobs::LineOf(int project, JobClass job_class) {
  const size_t index = project * kClasses + static_cast<int>(job_class);
  if (index >= lines_.size()) lines_.resize((project + 1) * kClasses);
  return lines_[index];
}

void WaitingJobs::Add(int project, JobClass job_class,
                      std::shared_ptr<const QueuedJob> job, absl::Time now) {
  Line& line = LineOf(project, job_class);
  const auto at =
      std::lower_bound(line.jobs.begin(), line.jobs.end(), job.get(), Before);
  if (at == line.jobs.begin()) line.head_since = now;
  const auto index = at - line.jobs.begin();
  line.jobs.insert(at, job.get());
  line.owners.insert(line.owners.begin() + index, std::move(job));
  ++size_;
}

void WaitingJobs::Remove(int project, JobClass job_class, const QueuedJob* job,
                         absl::Time now) {
  Line& line = LineOf(project, job_class);
  const auto at =
      std::lower_bound(line.jobs.begin(), line.jobs.end(), job, Before);
  RETORT_CHECK(at != line.jobs.end() && *at == job, job->name);
  if (at == line.jobs.begin()) line.head_since = now;
  const auto index = at - line.jobs.begin();
  line.jobs.erase(at);
  line.owners.erase(line.owners.begin() + index);
  --size_;
}

std::vector<Queue> WaitingJobs::queues() const {
  std::vector<Queue> queues;
  for (size_t i = 0; i < lines_.size(); ++i) {
    queues.push_back({static_cast<int>(i) / kClasses,
                      static_cast<JobClass>(i % kClasses), lines_[i].head_since,
                      lines_[i].jobs});
  }
  return queues;
}

int64_t WaitingJobs::size(int project) const {
  int64_t size = 0;
  for (size_t i = 0; i < lines_.size(); ++i) {
    if (static_cast<int>(i) / kClasses == project)
      size += lines_[i].jobs.size();
  }
  return size;
}

}  // namespace retort::scheduler
