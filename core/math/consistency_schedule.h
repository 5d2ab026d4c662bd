#ifndef RETORT_CORE_MATH_CONSISTENCY_SCHEDULE_H_
#define RETORT_CORE_MATH_CONSISTENCY_SCHEDULE_H_

#include <cstdint>

// How the number of grid times N and the target's EMA rate mu change while a
// consistency model is trained (Song et al. 2023, Section 5 and Appendix C).
namespace retort::math {

struct ConsistencyStage {
  int64_t num_times = 0;  // N(k)
  double target_ema = 0;  // mu(k)
};

struct ConsistencyScheduleOptions {
  enum class Scale {
    kFixed,                    // N = start_scales (distillation)
    kProgressive,              // N grows as the square root of the step (CT)
    kProgressiveDistillation,  // N halves every distill_steps_per_iter
  };
  Scale scale = Scale::kFixed;
  // mu(k) = exp(start_scales ln(start_ema) / (N(k) - 1)); kProgressive only.
  bool adaptive_ema = false;
  double start_ema = 0.999;
  int64_t start_scales = 18;
  int64_t end_scales = 18;  // kProgressive: reached at total_steps
  int64_t total_steps = 1;
  int64_t distill_steps_per_iter = 1;
};

// The stage at iteration `step` >= 0.
ConsistencyStage StageAt(const ConsistencyScheduleOptions& options,
                         int64_t step);

}  // namespace retort::math

#endif  // RETORT_CORE_MATH_CONSISTENCY_SCHEDULE_H_
