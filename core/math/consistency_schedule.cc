#include "core/math/consistency_schedule.h"

#include <algorithm>
#include <cmath>

namespace retort::math {
namespace {

// N(k) - 1 = ceil(sqrt(k/K ((s1 + 1)^2 - s0^2) + s0^2) - 1), at least 1.
int64_t ProgressiveIntervals(const ConsistencyScheduleOptions& o,
                             int64_t step) {
  const double s0 = static_cast<double>(o.start_scales);
  const double s1 = static_cast<double>(o.end_scales) + 1;
  const double done = static_cast<double>(step) / o.total_steps;
  const double n = std::sqrt(done * (s1 * s1 - s0 * s0) + s0 * s0);
  return std::max<int64_t>(static_cast<int64_t>(std::ceil(n - 1)), 1);
}

// Progressive distillation: the steps of the student halve, and the last two
// stages (2 and 1 steps) last twice as long.
int64_t DistillationScales(const ConsistencyScheduleOptions& o, int64_t step) {
  const int64_t halvings =
      std::min<int64_t>(step / o.distill_steps_per_iter, 62);
  const int64_t scales = std::max<int64_t>(o.start_scales >> halvings, 2);
  if (scales != 2) return scales;
  const double since =
      std::max(static_cast<double>(step) -
                   o.distill_steps_per_iter *
                       (std::log2(static_cast<double>(o.start_scales)) - 1),
               0.0);
  const double stage = std::floor(since / (2.0 * o.distill_steps_per_iter));
  return stage < 1 ? 2 : 1;
}

}  // namespace

ConsistencyStage StageAt(const ConsistencyScheduleOptions& o, int64_t step) {
  switch (o.scale) {
    case ConsistencyScheduleOptions::Scale::kFixed:
      break;
    case ConsistencyScheduleOptions::Scale::kProgressive: {
      const int64_t intervals = ProgressiveIntervals(o, step);
      const double ema =
          o.adaptive_ema
              ? std::exp(std::log(o.start_ema) * o.start_scales / intervals)
              : o.start_ema;
      return {intervals + 1, ema};
    }
    case ConsistencyScheduleOptions::Scale::kProgressiveDistillation:
      // The teacher of each stage is the finished student: no average.
      return {DistillationScales(o, step), 1.0};
  }
  return {o.start_scales, o.start_ema};
}

}  // namespace retort::math
