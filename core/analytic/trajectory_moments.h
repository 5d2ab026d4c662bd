#ifndef RETORT_CORE_ANALYTIC_TRAJECTORY_MOMENTS_H_
#define RETORT_CORE_ANALYTIC_TRAJECTORY_MOMENTS_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/analytic/estimator.h"
#include "core/analytic/teacher_source.h"
#include "core/math/noise_schedule.h"

namespace retort::analytic {

struct TrajectoryOptions {
  int64_t grid = 18;           // times t_0 > ... > t_{N-1} of the schedule
  int64_t trajectories = 512;  // at least 1
  int64_t batch = 64;          // no effect on results
  int64_t sub_steps = 2;       // Heun steps between neighbouring grid times
  uint64_t seed = 0;

  absl::Status Validate() const;
};

// Second moments of the teacher's trajectories at the grid times: all that
// least-squares fits of jumps, and their gaps, need to know. With x_i the
// state at t_i and D_i = D(x_i, t_i), `gram` holds the mean inner products per
// dimension of (x_0 ... x_{N-1}, D_0 ... D_{N-1}). (D and not the noise
// (x - D)/t, of which D at large t would be a tiny difference. The other way
// round, x - D at the smallest t, costs five digits of sixteen.)
struct TrajectoryMoments {
  std::vector<double> times;
  at::Tensor gram;  // float64 [2N, 2N], symmetric, on the CPU
  int64_t trajectories = 0;
  int64_t network_calls = 0;

  int64_t n() const { return static_cast<int64_t>(times.size()); }

  // Root mean square over dimensions of f - x_j for f = a x_i + b D_i: the
  // state gap with the teacher as the student. The denoiser gap,
  // D_i - (x_j - a x_i)/b, is this over |b|.
  double StateGap(int64_t i, int64_t j, double a, double b) const;
};

// Given the states of a batch of trajectories, float64 [2N, count d]: x_0 ...
// x_{N-1}, D_0 ... D_{N-1}.
using StatesCallback = std::function<void(const at::Tensor& states)>;

// Runs the teacher's probability-flow ODE by Heun's method from x_0 = data +
// t_0 noise, the true marginal at t_0, in float64. Trajectory k is a pure
// function of (seed, k). A conditional teacher gets its data's labels. `states`
// sees every batch.
//
// Errors: as EstimateStatistics.
absl::StatusOr<TrajectoryMoments> CollectTrajectoryMoments(
    const TeacherSource& source, const math::NoiseSchedule& schedule,
    const TrajectoryOptions& options,
    const ProgressCallback& progress = nullptr,
    const StopCallback& stop = nullptr, const StatesCallback& states = nullptr);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_TRAJECTORY_MOMENTS_H_
