#include "core/train/loss_scale.h"

#include <algorithm>
#include <cmath>

namespace retort::train {

LossScale LossScale::Dynamic() {
  LossScale scale;
  scale.dynamic_ = true;
  scale.value_ = kStart;
  return scale;
}

void LossScale::CountGood() {
  if (!dynamic_ || ++good_steps_ < kGrowAfter) return;
  good_steps_ = 0;
  value_ = std::min(value_ * 2, kMax);
}

bool LossScale::Halve() {
  good_steps_ = 0;
  if (!dynamic_ || value_ <= kMin) return false;
  value_ /= 2;
  return true;
}

nlohmann::json LossScale::ToJson() const {
  return {{"value", value_}, {"good_steps", good_steps_}};
}

void LossScale::Restore(const nlohmann::json& saved) {
  if (!dynamic_ || !saved.is_object()) return;
  const double value = saved.value("value", kStart);
  int exponent = 0;
  if (!(value >= kMin && value <= kMax)) return;
  if (std::frexp(value, &exponent) != 0.5) return;  // no power of two
  value_ = value;
  good_steps_ = std::clamp<int64_t>(saved.value("good_steps", int64_t{0}), 0,
                                    kGrowAfter - 1);
}

}  // namespace retort::train
