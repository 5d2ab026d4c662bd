#include "core/math/noise_schedule.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace retort::math {
namespace {

bool PositiveFinite(double v) { return std::isfinite(v) && v > 0; }

}  // namespace

absl::Status NoiseSchedule::Validate() const {
  if (!PositiveFinite(sigma_min) || !PositiveFinite(sigma_max) ||
      sigma_min >= sigma_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("noise schedule: sigma_min ", sigma_min, " and sigma_max ",
                     sigma_max, " must satisfy 0 < sigma_min < sigma_max"));
  }
  if (!PositiveFinite(rho)) {
    return absl::InvalidArgumentError(
        absl::StrCat("noise schedule: rho is ", rho, "; it must be positive"));
  }
  if (!PositiveFinite(sigma_data)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "noise schedule: sigma_data is ", sigma_data, "; it must be positive"));
  }
  return absl::OkStatus();
}

void to_json(nlohmann::json& json, const NoiseSchedule& schedule) {
  json = {{"sigma_min", schedule.sigma_min},
          {"sigma_max", schedule.sigma_max},
          {"rho", schedule.rho},
          {"sigma_data", schedule.sigma_data}};
}

void from_json(const nlohmann::json& json, NoiseSchedule& schedule) {
  const NoiseSchedule defaults;
  schedule.sigma_min = json.value("sigma_min", defaults.sigma_min);
  schedule.sigma_max = json.value("sigma_max", defaults.sigma_max);
  schedule.rho = json.value("rho", defaults.rho);
  schedule.sigma_data = json.value("sigma_data", defaults.sigma_data);
}

double TimeAt(const NoiseSchedule& schedule, double u) {
  if (u == 0) return schedule.sigma_max;
  const double from = std::pow(schedule.sigma_max, 1 / schedule.rho);
  const double to = std::pow(schedule.sigma_min, 1 / schedule.rho);
  const double t = std::pow(from + u * (to - from), schedule.rho);
  // A grid's last time shall be eps itself, so that the jump from there is the
  // identity. Where the formula loses more digits than the powers cost (rho
  // near 1) it is left as it is, as every other implementation has it.
  const bool rounding =
      std::abs(t - schedule.sigma_min) <= 5e-14 * schedule.sigma_min;
  return u == 1 && rounding ? schedule.sigma_min : t;
}

std::vector<double> TimeGrid(const NoiseSchedule& schedule, int64_t n) {
  RETORT_CHECK(n >= 1, absl::StrCat("a grid of ", n, " times"));
  std::vector<double> grid(n, schedule.sigma_max);
  for (int64_t i = 1; i < n; ++i) {
    grid[i] = TimeAt(schedule, static_cast<double>(i) / (n - 1));
  }
  return grid;
}

}  // namespace retort::math
