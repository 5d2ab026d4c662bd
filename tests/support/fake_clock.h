#ifndef RETORT_TESTS_SUPPORT_FAKE_CLOCK_H_
#define RETORT_TESTS_SUPPORT_FAKE_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/clock.h"

namespace retort::testing {

// A clock that moves only when told to. Sleep() advances it and returns at
// once, so code that waits is tested without waiting. Thread-safe.
class FakeClock : public base::Clock {
 public:
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1700000000))
      : now_(start) {}

  absl::Time Now() override {
    absl::MutexLock lock(&mutex_);
    return now_;
  }
  void Sleep(absl::Duration duration) override { Advance(duration); }

  void Advance(absl::Duration duration) {
    absl::MutexLock lock(&mutex_);
    now_ += duration;
  }

 private:
  absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_FAKE_CLOCK_H_
