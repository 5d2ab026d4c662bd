#include "server/scheduler/project_usage.h"

#include <algorithm>

namespace retort::scheduler {
namespace {

absl::Time MonthFrom(absl::Time time, int offset) {
  const absl::CivilMonth month =
      absl::ToCivilMonth(time, absl::UTCTimeZone()) + offset;
  return absl::FromCivil(absl::CivilSecond(month), absl::UTCTimeZone());
}

}  // namespace

absl::Time MonthOf(absl::Time time) { return MonthFrom(time, 0); }
absl::Time NextMonth(absl::Time time) { return MonthFrom(time, 1); }

ProjectUsage::ProjectUsage(absl::Duration half_life, const UsageRecord& record)
    : fair_(half_life, record.at, record.fair),
      gpu_hours_(record.gpu_hours),
      at_(record.at) {}

void ProjectUsage::Advance(absl::Time now, double charge, int gpus) {
  if (now <= at_) return;
  fair_.Advance(now, charge);
  const absl::Time month = MonthOf(now);
  if (at_ < month) {
    gpu_hours_ = 0;
    at_ = month;
  }
  gpu_hours_ += gpus * absl::ToDoubleHours(now - at_);
  at_ = now;
}

}  // namespace retort::scheduler
