#ifndef RETORT_CORE_BASE_CLOCK_H_
#define RETORT_CORE_BASE_CLOCK_H_

#include "absl/time/time.h"

namespace retort::base {

// Where code gets the time from, so that tests can own it
// (tests/support/fake_clock.h). Implementations are thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Returns the current wall time. Not monotonic with the real clock.
  virtual absl::Time Now() = 0;

  // Blocks the calling thread for `duration`; returns at once if it is not
  // positive.
  virtual void Sleep(absl::Duration duration) = 0;
};

// Returns the system's clock: one object that lives as long as the process.
Clock* RealClock();

}  // namespace retort::base

#endif  // RETORT_CORE_BASE_CLOCK_H_
