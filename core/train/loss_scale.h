#ifndef RETORT_CORE_TRAIN_LOSS_SCALE_H_
#define RETORT_CORE_TRAIN_LOSS_SCALE_H_

#include <cstdint>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"

namespace retort::train {

// The defaults are those of PyTorch's GradScaler. (The authors of CM and CTM
// start at 2^20 and multiply by 2^0.001 after each good step: it doubles twice
// as often, but is no power of two.)
struct LossScaleOptions {
  double initial = 65536;    // a power of two in [1, 2^24]
  double growth_factor = 2;  // a power of two in [1, 2^24]; 1: never grows
  int64_t growth_interval = 2000;  // good steps in a row; at least 1

  // InvalidArgument, naming the field and its range.
  absl::Status Validate() const;
  nlohmann::json ToJson() const;
};

// The number that a loss is multiplied by before its gradient is taken in
// float16, so that small gradients do not vanish (Micikevicius et al. 2018,
// section 3.2). Always a power of two: dividing the float32 gradients by it
// again is exact.
//
// Starts at `initial`; grows by `growth_factor` after `growth_interval` good
// steps in a row, up to 2^24; halves when gradients overflow, down to 1. By
// default it is off: 1, whatever happens. Thread-compatible.
class LossScale {
 public:
  static constexpr double kMin = 1;
  static constexpr double kMax = 16777216;

  LossScale() = default;
  // `options` must be valid.
  static LossScale Dynamic(const LossScaleOptions& options = {});

  double value() const { return value_; }
  bool dynamic() const { return dynamic_; }

  // Counts a step with finite gradients.
  void CountGood();

  // Gradients were not finite. Returns false if a smaller scale is no remedy:
  // it is off or at its minimum.
  bool Halve();

  // For checkpoints. Restore() ignores what is out of bounds, and everything
  // if it is off.
  nlohmann::json ToJson() const;
  void Restore(const nlohmann::json& saved);

 private:
  LossScaleOptions options_;
  bool dynamic_ = false;
  double value_ = 1;
  int64_t good_steps_ = 0;  // since the last change
};

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_LOSS_SCALE_H_
