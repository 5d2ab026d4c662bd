#ifndef RETORT_SERVER_SCHEDULER_PROJECT_USAGE_H_
#define RETORT_SERVER_SCHEDULER_PROJECT_USAGE_H_

#include "absl/time/time.h"
#include "server/scheduler/fair_usage.h"

namespace retort::scheduler {

// The calendar month (UTC) of a time: when it began, and when the next does.
absl::Time MonthOf(absl::Time time);
absl::Time NextMonth(absl::Time time);

// What a project has used, as it is stored.
struct UsageRecord {
  double fair = 0;       // FairUsage::value(), as of `at`
  double gpu_hours = 0;  // of the calendar month of `at`
  absl::Time at = absl::UnixEpoch();
};

// Keeps both sums of a project: that which its share goes by, and the GPU-hours
// of the calendar month (UTC), which begin anew with each month.
class ProjectUsage {
 public:
  ProjectUsage(absl::Duration half_life, const UsageRecord& record);

  // The project has held so much from the last call until `now`: `charge` in
  // GPUs as its share counts them (CPU slots too), and `gpus` truly.
  void Advance(absl::Time now, double charge, int gpus);

  // As of the last Advance().
  UsageRecord record() const { return {fair_.value(), gpu_hours_, at_}; }

 private:
  FairUsage fair_;
  double gpu_hours_;
  absl::Time at_;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_PROJECT_USAGE_H_
