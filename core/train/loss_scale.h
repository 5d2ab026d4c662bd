#ifndef RETORT_CORE_TRAIN_LOSS_SCALE_H_
#define RETORT_CORE_TRAIN_LOSS_SCALE_H_

#include <cstdint>
#include <nlohmann/json.hpp>

namespace retort::train {

// The number that a loss is multiplied by before its gradient is taken in
// float16, so that small gradients do not vanish (Micikevicius et al. 2018,
// section 3.2). Always a power of two: dividing the float32 gradients by it
// again is exact.
//
// Starts at 2^16; doubles after 2000 good steps in a row, up to 2^24; halves
// when gradients overflow, down to 1. By default it is off: 1, whatever
// happens. Thread-compatible.
class LossScale {
 public:
  static constexpr double kStart = 65536;
  static constexpr double kMin = 1;
  static constexpr double kMax = 16777216;
  static constexpr int64_t kGrowAfter = 2000;

  LossScale() = default;
  static LossScale Dynamic();

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
  bool dynamic_ = false;
  double value_ = 1;
  int64_t good_steps_ = 0;  // since the last change
};

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_LOSS_SCALE_H_
