#include "core/train/loss_scale.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace retort::train {
namespace {

// A power of two within the bounds.
bool IsScale(double value) {
  int exponent = 0;
  return value >= LossScale::kMin && value <= LossScale::kMax &&
         std::frexp(value, &exponent) == 0.5;
}

absl::Status NoScale(const char* field, double value) {
  return absl::InvalidArgumentError(
      absl::StrCat("loss_scale ", field, " is ", value,
                   "; it must be a power of two in [1, 2^24]"));
}

}  // namespace

absl::Status LossScaleOptions::Validate() const {
  if (!IsScale(initial)) return NoScale("initial", initial);
  if (!IsScale(growth_factor)) return NoScale("growth_factor", growth_factor);
  if (growth_interval < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("loss_scale growth_interval is ", growth_interval,
                     "; it must be at least 1"));
  }
  return absl::OkStatus();
}

nlohmann::json LossScaleOptions::ToJson() const {
  return {{"initial", initial},
          {"growth_factor", growth_factor},
          {"growth_interval", growth_interval}};
}

LossScale LossScale::Dynamic(const LossScaleOptions& options) {
  LossScale scale;
  scale.options_ = options;
  scale.dynamic_ = true;
  scale.value_ = options.initial;
  return scale;
}

void LossScale::CountGood() {
  if (!dynamic_ || ++good_steps_ < options_.growth_interval) return;
  good_steps_ = 0;
  value_ = std::min(value_ * options_.growth_factor, kMax);
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
  const double value = saved.value("value", options_.initial);
  if (!IsScale(value)) return;
  value_ = value;
  good_steps_ = std::clamp<int64_t>(saved.value("good_steps", int64_t{0}), 0,
                                    options_.growth_interval - 1);
}

}  // namespace retort::train
