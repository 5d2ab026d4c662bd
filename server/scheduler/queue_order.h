#ifndef RETORT_SERVER_SCHEDULER_QUEUE_ORDER_H_
#define RETORT_SERVER_SCHEDULER_QUEUE_ORDER_H_

#include <cstdint>
#include <vector>

#include "server/scheduler/policy.h"
#include "server/scheduler/snapshot.h"

namespace retort::scheduler {

// A job that waits, and whose it is.
struct Candidate {
  const QueuedJob* job = nullptr;
  int project = 0;
  JobClass job_class = JobClass::kNormal;  // as asked for, not aged
  JobClass earned = JobClass::kNormal;     // aged, at most HIGH
  const Claim* claim = nullptr;
};

// What a gang counts in a project's share, in GPUs.
double Charge(Resources all, const PolicyOptions& options);

// Yields the jobs that wait in the order in which they are to start: claims,
// then by class (that of a queue's first job grows with its wait), then those
// of the project with the least use by its weight, then by `seq`. A merge over
// the heads of the queues: each step takes O(log queues).
//
//   QueueOrder order(snapshot, options);
//   Candidate next;
//   while (order.Next(&next)) {
//     if (...) order.Started(next);  // the project's turn comes later
//   }
class QueueOrder {
 public:
  // `snapshot` outlives the order.
  QueueOrder(const Snapshot& snapshot, const PolicyOptions& options);

  // False if there is none any more.
  bool Next(Candidate* next);

  // The job that was yielded starts: its project has so much more.
  void Started(const Candidate& candidate);

  // When a queue's first job will count one class higher.
  absl::Time NextAging() const;

  // No more jobs of this project.
  void Drop(int project) { dropped_[project] = true; }

 private:
  struct Head {
    int64_t level;  // class, aged
    double share;   // of the project when this was computed
    int64_t seq;
    int queue;
    // Whether this one comes after the other.
    bool operator<(const Head& other) const;
  };
  void Push(int queue);
  double ShareOf(int project) const;

  const Snapshot& snapshot_;
  const PolicyOptions options_;
  std::vector<double> used_;      // GPU-seconds by project
  std::vector<bool> dropped_;     // by project
  std::vector<size_t> position_;  // by queue
  std::vector<Head> heap_;
  size_t claim_ = 0;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_QUEUE_ORDER_H_
