#ifndef RETORT_SERVER_SCHEDULER_QUOTA_BOOK_H_
#define RETORT_SERVER_SCHEDULER_QUOTA_BOOK_H_

#include <vector>

#include "absl/time/time.h"
#include "server/scheduler/snapshot.h"

namespace retort::scheduler {

enum class QuotaLimit { kNone, kGpus, kJobs, kGpuHours };

// What the projects hold of their quotas while a decision is made: what runs
// (stopping gangs too, until they have stopped) and what the decision starts.
class QuotaBook {
 public:
  // `snapshot` outlives the book.
  explicit QuotaBook(const Snapshot& snapshot);

  // The limit that keeps a job of the project from starting, if any. Of the
  // GPU-hours, those count that are used, that what runs may use by its time
  // limits before the month ends, and that the job may; a gang without a time
  // limit counts with what it has used, so such a job starts while any are
  // left.
  QuotaLimit Check(int project, const QueuedJob& job) const;

  // The job starts, at once or when its victims have stopped.
  void Add(int project, const QueuedJob& job);

  // GPUs and jobs of the project now.
  int gpus(int project) const { return held_[project].gpus; }
  int jobs(int project) const { return held_[project].jobs; }
  // Used and promised, of this month.
  double gpu_hours(int project) const { return held_[project].gpu_hours; }

 private:
  struct Held {
    int gpus = 0;
    int jobs = 0;
    double gpu_hours = 0;
  };
  // Of so many GPUs from now to `end`, or to the end of the month; 0 for an
  // end that nobody knows.
  double Hours(int project, int gpus, absl::Time end) const;

  const Snapshot& snapshot_;
  std::vector<Held> held_;  // by project
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_QUOTA_BOOK_H_
