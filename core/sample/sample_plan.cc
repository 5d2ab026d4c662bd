#include "core/sample/sample_plan.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace retort::sample {
namespace {

absl::Status BadPlan(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("sampling: ", what));
}

absl::Status CheckTimes(const PlanOptions& options) {
  const math::NoiseSchedule& schedule = options.schedule;
  // Room for a grid node that was computed or printed with rounding.
  const double highest = schedule.sigma_max * (1 + 1e-9);
  const bool heun = options.solver == Solver::kHeun;
  for (size_t i = 0; i < options.times.size(); ++i) {
    const double t = options.times[i];
    if (!std::isfinite(t) || t > highest) {
      return BadPlan(absl::StrCat(
          "times[", i, "] = ", t,
          " must be a number up to sigma_max = ", schedule.sigma_max));
    }
    if (heun ? t < schedule.sigma_min : t <= schedule.sigma_min) {
      return BadPlan(absl::StrCat("times[", i, "] = ", t, " must be ",
                                  heun ? "at least" : "above",
                                  " sigma_min = ", schedule.sigma_min,
                                  "; the last step's end is not listed, it is ",
                                  heun ? "0" : "sigma_min", " by itself"));
    }
    if (i > 0 && t >= options.times[i - 1]) {
      return BadPlan(absl::StrCat("times must fall, but times[", i, "] = ", t,
                                  " follows ", options.times[i - 1]));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckChurn(const PlanOptions& options) {
  const PlanOptions defaults;
  if (options.solver != Solver::kHeun) {
    if (options.s_churn != defaults.s_churn ||
        options.s_min != defaults.s_min || options.s_max != defaults.s_max ||
        options.s_noise != defaults.s_noise) {
      return BadPlan(
          "s_churn, s_min, s_max and s_noise are for a teacher's Heun "
          "sampler only; leave them out");
    }
    return absl::OkStatus();
  }
  if (!(options.s_churn >= 0) || !std::isfinite(options.s_churn)) {
    return BadPlan(absl::StrCat("s_churn = ", options.s_churn,
                                " must be a number from 0 on"));
  }
  if (!(options.s_min >= 0 && options.s_min <= options.s_max)) {
    return BadPlan("s_min and s_max must fulfil 0 <= s_min <= s_max");
  }
  if (!(options.s_noise >= 0) || !std::isfinite(options.s_noise)) {
    return BadPlan(absl::StrCat("s_noise = ", options.s_noise,
                                " must be a number from 0 on"));
  }
  return absl::OkStatus();
}

std::vector<double> StartTimes(const PlanOptions& options) {
  if (!options.times.empty()) return options.times;
  const int64_t n = std::max<int64_t>(options.steps, 1);
  if (options.solver == Solver::kHeun) {
    return math::TimeGrid(options.schedule, n);
  }
  std::vector<double> times = math::TimeGrid(options.schedule, n + 1);
  times.pop_back();
  return times;
}

// Standard deviation that raises independent noise from level s to t.
double NoiseBetween(double s, double t) {
  return std::sqrt(std::max(0.0, (t - s) * (t + s)));
}

void PlanJumps(const std::vector<double>& times, double gamma, double eps,
               SamplePlan* plan) {
  const double kept = std::sqrt((1 - gamma) * (1 + gamma));
  double noise = 0;
  for (size_t n = 0; n < times.size(); ++n) {
    const bool last = n + 1 == times.size();
    // s = sqrt(1 - gamma^2) (t_{n+1} - eps) + eps: the authors' form of CTM's
    // Algorithm 3, whose s never falls below eps.
    const double s = last ? eps : kept * (times[n + 1] - eps) + eps;
    plan->steps.push_back({noise, times[n], s});
    noise = last ? 0 : NoiseBetween(s, times[n + 1]);
  }
}

// EDM, Algorithm 2, lines 4-6: raise t_i to t_hat, then step to t_{i+1}.
void PlanHeun(const std::vector<double>& times, const PlanOptions& options,
              SamplePlan* plan) {
  const double most = std::sqrt(2.0) - 1;
  const double churn =
      std::min(options.s_churn / static_cast<double>(times.size()), most);
  for (size_t i = 0; i < times.size(); ++i) {
    const double t = times[i];
    const bool raised = t >= options.s_min && t <= options.s_max;
    const double t_hat = raised ? t + churn * t : t;
    plan->steps.push_back({options.s_noise * NoiseBetween(t, t_hat), t_hat,
                           i + 1 < times.size() ? times[i + 1] : 0.0});
  }
}

}  // namespace

absl::string_view SolverName(Solver solver) {
  switch (solver) {
    case Solver::kConsistency:
      return "cm";
    case Solver::kTrajectory:
      return "ctm";
    case Solver::kHeun:
      return "heun";
  }
  return "unknown";
}

absl::Status PlanOptions::Validate() const {
  RETORT_RETURN_IF_ERROR(schedule.Validate());
  if (steps < 0 || steps > kMaxSteps) {
    return BadPlan(
        absl::StrCat("steps = ", steps, " must lie between 1 and ", kMaxSteps));
  }
  if (static_cast<int64_t>(times.size()) > kMaxSteps) {
    return BadPlan(absl::StrCat("there are ", times.size(), " times; at most ",
                                kMaxSteps, " are allowed"));
  }
  if (!times.empty() && steps != 0 &&
      steps != static_cast<int64_t>(times.size())) {
    return BadPlan(absl::StrCat("steps = ", steps, " but there are ",
                                times.size(), " times; leave steps out"));
  }
  RETORT_RETURN_IF_ERROR(CheckTimes(*this));
  if (!(gamma >= 0 && gamma <= 1)) {
    return BadPlan(
        absl::StrCat("gamma = ", gamma, " must lie between 0 and 1"));
  }
  if (gamma != 0 && solver != Solver::kTrajectory) {
    return BadPlan(
        absl::StrCat("gamma = ", gamma,
                     " is for consistency trajectory models (ctm) only; "
                     "leave it out for ",
                     std::string(SolverName(solver))));
  }
  return CheckChurn(*this);
}

int64_t SamplePlan::NetworkCalls() const {
  if (solver != Solver::kHeun) return static_cast<int64_t>(steps.size());
  int64_t calls = 0;
  for (const PlannedStep& step : steps) calls += step.to > 0 ? 2 : 1;
  return calls;
}

absl::StatusOr<SamplePlan> MakePlan(const PlanOptions& options) {
  RETORT_RETURN_IF_ERROR(options.Validate());
  const std::vector<double> times = StartTimes(options);
  SamplePlan plan;
  plan.solver = options.solver;
  plan.first_sigma = times.front();
  if (options.solver == Solver::kHeun) {
    PlanHeun(times, options, &plan);
  } else {
    // CM's multistep sampler is gamma = 1: s = eps at every jump.
    const double gamma =
        options.solver == Solver::kConsistency ? 1.0 : options.gamma;
    PlanJumps(times, gamma, options.schedule.sigma_min, &plan);
  }
  return plan;
}

}  // namespace retort::sample
