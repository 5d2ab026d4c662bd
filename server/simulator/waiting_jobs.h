#ifndef RETORT_SERVER_SIMULATOR_WAITING_JOBS_H_
#define RETORT_SERVER_SIMULATOR_WAITING_JOBS_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "server/scheduler/snapshot.h"

namespace retort::simulator {

// The queues as the policy wants them: one per project and class, in order.
// Puts a job in and takes one out in the time of a binary search and a move of
// pointers, so that nothing is ever sorted.
class WaitingJobs {
 public:
  explicit WaitingJobs(int projects);

  void Add(int project, scheduler::JobClass job_class,
           const scheduler::QueuedJob* job, absl::Time now);
  // The job is there.
  void Remove(int project, scheduler::JobClass job_class,
              const scheduler::QueuedJob* job, absl::Time now);

  // Valid until the next change.
  absl::Span<const scheduler::Queue> queues();
  int64_t size() const { return size_; }

 private:
  struct Line {
    std::vector<const scheduler::QueuedJob*> jobs;
    absl::Time head_since = absl::InfiniteFuture();
  };
  Line& LineOf(int project, scheduler::JobClass job_class);

  std::vector<Line> lines_;
  std::vector<scheduler::Queue> queues_;
  int64_t size_ = 0;
};

}  // namespace retort::simulator

#endif  // RETORT_SERVER_SIMULATOR_WAITING_JOBS_H_
