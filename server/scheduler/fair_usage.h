#ifndef RETORT_SERVER_SCHEDULER_FAIR_USAGE_H_
#define RETORT_SERVER_SCHEDULER_FAIR_USAGE_H_

#include "absl/time/time.h"

namespace retort::scheduler {

// What a project has used, the past counting half as much for each half-life:
// the integral of GPUs(t) 2^(-(now - t) / half_life) dt, in GPU-seconds. A
// project that always holds G GPUs comes to G half_life / ln 2.
class FairUsage {
 public:
  // half_life > 0; infinite: nothing is ever forgotten. `value`: what it was at
  // `now`.
  FairUsage(absl::Duration half_life, absl::Time now, double value = 0);

  // The project has held so many GPUs from the last call until `now`.
  void Advance(absl::Time now, double gpus);

  double value() const { return value_; }

 private:
  const double half_life_;  // seconds
  absl::Time at_;
  double value_;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_FAIR_USAGE_H_
