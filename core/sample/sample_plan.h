#ifndef RETORT_CORE_SAMPLE_SAMPLE_PLAN_H_
#define RETORT_CORE_SAMPLE_SAMPLE_PLAN_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/math/noise_schedule.h"

// A plan is sampling worked out before a network is called: how much noise
// to add, where to step from and to. It is plain numbers, so that an engine can
// advance images with different plans side by side, one step at a time.
namespace retort::sample {

enum class Solver {
  // Consistency models (Song et al. 2023, Algorithm 1): jump to sigma_min,
  // add noise up to the next time, jump again.
  kConsistency,
  // Consistency trajectory models' gamma-sampling (Kim et al. 2024,
  // Algorithm 3): jump part of the way, add noise for the rest.
  kTrajectory,
  // A teacher: EDM's Heun sampler (Karras et al. 2022, Algorithm 2).
  kHeun,
};

// "cm", "ctm", "heun".
absl::string_view SolverName(Solver solver);

// What to plan. Default times, when `times` is empty:
//
//   kConsistency, kTrajectory  n steps start from the first n of the n + 1
//     nodes of EDM's grid (math::TimeGrid); the last node, sigma_min, is where
//     the last jump ends. This is what the CTM authors' sampler does for n
//     steps. CM's paper picks times by searching for the best FID of each
//     model, so it has no rule; published searched times for two steps are
//     {80, 0.821} for CIFAR-10 and {80, 1.526} for ImageNet-64 (Song and
//     Dhariwal 2024). Pass such times in `times`.
//   kHeun  EDM's: the n nodes of the grid, then 0; 2 n - 1 network calls.
struct PlanOptions {
  Solver solver = Solver::kConsistency;
  math::NoiseSchedule schedule;

  // Jumps, or Heun steps. 0: as many as `times`, or 1 without `times`.
  int64_t steps = 0;

  // Where each step starts, falling, the first at most sigma_max and all above
  // sigma_min (at least sigma_min for kHeun); where the last step ends is not
  // listed. A first time below sigma_max starts from noise of that size.
  std::vector<double> times;

  // kTrajectory only, in [0, 1]: 0 is deterministic after the first noise, 1
  // is consistency models' sampler.
  double gamma = 0;

  // kHeun only: stochasticity, as in math::HeunOptions. 0: deterministic.
  double s_churn = 0;
  double s_min = 0;
  double s_max = std::numeric_limits<double>::infinity();
  double s_noise = 1;

  // InvalidArgument, naming the field, its value and what is allowed.
  absl::Status Validate() const;
};

inline constexpr int64_t kMaxSteps = 4096;

struct PlannedStep {
  double noise = 0;  // standard deviation of fresh noise, added first
  double from = 0;   // noise level that the step starts at
  double to = 0;     // and ends at; 0 only at the end of kHeun
};

struct SamplePlan {
  Solver solver = Solver::kConsistency;
  double first_sigma = 0;  // standard deviation of the first noise
  std::vector<PlannedStep> steps;

  // Network calls for each image.
  int64_t NetworkCalls() const;
};

// Errors: those of PlanOptions::Validate().
absl::StatusOr<SamplePlan> MakePlan(const PlanOptions& options);

}  // namespace retort::sample

#endif  // RETORT_CORE_SAMPLE_SAMPLE_PLAN_H_
