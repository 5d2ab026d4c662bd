#include "server/scheduler/fair_usage.h"

#include <cmath>

namespace retort::scheduler {

FairUsage::FairUsage(absl::Duration half_life, absl::Time now, double value)
    : half_life_(absl::ToDoubleSeconds(half_life)), at_(now), value_(value) {}

void FairUsage::Advance(absl::Time now, double gpus) {
  if (now <= at_) return;
  const double seconds = absl::ToDoubleSeconds(now - at_);
  at_ = now;
  if (std::isinf(half_life_)) {
    value_ += gpus * seconds;
    return;
  }
  const double rate = std::log(2.0) / half_life_;
  const double left = std::exp(-rate * seconds);
  value_ = value_ * left + gpus * (1 - left) / rate;
}

}  // namespace retort::scheduler
