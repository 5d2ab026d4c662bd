#ifndef RETORT_CORE_MATH_NOISE_SCHEDULE_H_
#define RETORT_CORE_MATH_NOISE_SCHEDULE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

// Noise levels ("times", t = sigma) and their grid. Times run downwards, from
// sigma_max to sigma_min. Everything is float64.
namespace retort::math {

struct NoiseSchedule {
  double sigma_min = 0.002;  // also eps, where consistency models end
  double sigma_max = 80;
  double rho = 7;           // > 1 puts more of the grid at small times
  double sigma_data = 0.5;  // standard deviation of the data, per pixel

  // InvalidArgument unless 0 < sigma_min < sigma_max, rho > 0, sigma_data > 0,
  // all finite.
  absl::Status Validate() const;
};

void to_json(nlohmann::json& json, const NoiseSchedule& schedule);
// Missing keys keep their defaults. Throws nlohmann::json::exception when a
// value is not a number.
void from_json(const nlohmann::json& json, NoiseSchedule& schedule);

// EDM, Eq. 5 with u in place of i / (N - 1):
//   t(u) = (smax^(1/rho) + u (smin^(1/rho) - smax^(1/rho)))^rho.
// u = 0 is sigma_max exactly; u = 1 is sigma_min exactly, unless rho is so near
// 1 that the formula itself is off by more than rounding (1e-12 at rho = 1).
double TimeAt(const NoiseSchedule& schedule, double u);

// t_0 .. t_{n-1} of EDM, Eq. 5, falling from sigma_max to sigma_min. EDM's
// trailing t_n = 0 is not in it. n >= 2 (or n = 1: sigma_max alone).
std::vector<double> TimeGrid(const NoiseSchedule& schedule, int64_t n);

}  // namespace retort::math

#endif  // RETORT_CORE_MATH_NOISE_SCHEDULE_H_
