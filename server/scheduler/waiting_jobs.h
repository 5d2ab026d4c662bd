#ifndef RETORT_SERVER_SCHEDULER_WAITING_JOBS_H_
#define RETORT_SERVER_SCHEDULER_WAITING_JOBS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "server/scheduler/snapshot.h"

namespace retort::scheduler {

// The queues as the policy wants them: one per project and class, in order.
// Puts a job in and takes one out in the time of a binary search and a move of
// pointers, so that nothing is ever sorted. A copy shares the jobs, which never
// change: it takes a millisecond for 100,000 of them.
class WaitingJobs {
 public:
  // Of a project that is new here, too.
  void Add(int project, JobClass job_class,
           std::shared_ptr<const QueuedJob> job, absl::Time now);
  // The job is there.
  void Remove(int project, JobClass job_class, const QueuedJob* job,
              absl::Time now);

  // Valid until the next change.
  std::vector<Queue> queues() const;
  int64_t size() const { return size_; }
  // Of one project, in all its classes.
  int64_t size(int project) const;

 private:
  struct Line {
    std::vector<const QueuedJob*> jobs;
    std::vector<std::shared_ptr<const QueuedJob>> owners;  // of these
    absl::Time head_since = absl::InfiniteFuture();
  };
  Line& LineOf(int project, JobClass job_class);

  std::vector<Line> lines_;
  int64_t size_ = 0;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_WAITING_JOBS_H_
