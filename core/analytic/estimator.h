#ifndef RETORT_CORE_ANALYTIC_ESTIMATOR_H_
#define RETORT_CORE_ANALYTIC_ESTIMATOR_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/analytic/knot_statistics.h"
#include "core/analytic/teacher_source.h"
#include "core/math/noise_schedule.h"

namespace retort::analytic {

enum class TraceEstimator {
  // l from E<eps, D - x0>/(t d): forward passes only.
  kStein,
  // l from <v, dD/dx v>/d with random signs v, one backward pass a sample:
  // the paper's way, as a cross-check. Both are unbiased.
  kHutchinson,
};

enum class ScaleEstimator {
  // S = 1 / RMS of g: exact for an ideal teacher, no derivatives.
  kRms,
  // s = -E<g, dg/dlambda>/E|g|^2 by a Jacobian product a sample, and S by
  // integration: the paper's way, right for any teacher.
  kJvp,
};

// "stein", "hutchinson"; "rms", "jvp".
const char* TraceName(TraceEstimator trace);
const char* ScaleName(ScaleEstimator scale);

struct EstimateOptions {
  int64_t knots = 120;     // uniform in lambda = -ln t; at least 2
  int64_t samples = 4096;  // per knot; at least 2
  // Samples per network call, fewer where derivatives are taken; no effect on
  // results.
  int64_t batch = 256;
  uint64_t seed = 0;
  TraceEstimator trace = TraceEstimator::kStein;
  ScaleEstimator scale = ScaleEstimator::kRms;

  // Ends a knot early once the standard errors of l and of ln S are both
  // below this, looking after every 256 samples. 0 always takes `samples`.
  // With kJvp ln S is a sum over knots: what counts is the error that it would
  // have if all knots were as this one.
  double tolerance = 0;

  absl::Status Validate() const;
  // What one sample costs, in forward passes.
  int64_t ForwardsPerSample() const;
};

// What EstimateStatistics found: knots in increasing lambda, from sigma_max
// down to sigma_min.
struct TeacherStatistics {
  std::vector<KnotStatistics> knots;
  int64_t dimension = 0;
  double relative_rounding = 0;
  ScaleEstimator scale = ScaleEstimator::kRms;
  int64_t network_calls = 0;  // samples through the network
  // The same weighed by ForwardsPerSample().
  int64_t forward_equivalents = 0;
};

struct EstimateProgress {
  std::string stage;  // "statistics" or "trajectories"
  int64_t done = 0;   // knots, or trajectories
  int64_t total = 0;
  double fraction = 0;  // of the stage's network calls, by its upper bound
  int64_t network_calls = 0;
  const KnotStatistics* latest = nullptr;  // of stage "statistics", or null
};
using ProgressCallback = std::function<void(const EstimateProgress&)>;

// Polled before every network call; true ends with Cancelled.
using StopCallback = std::function<bool()>;

// Estimates l and E|g|^2 at times uniform in ln t over the schedule. Sample j
// of knot k is a pure function of (seed, k, j): batch size and order do not
// matter, and a tolerance just cuts the sequence short.
//
// Errors: InvalidArgument for bad options; Cancelled; FailedPrecondition if
// the teacher returns something not finite; whatever `source.clean` returns.
absl::StatusOr<TeacherStatistics> EstimateStatistics(
    const TeacherSource& source, const math::NoiseSchedule& schedule,
    const EstimateOptions& options, const ProgressCallback& progress = nullptr,
    const StopCallback& stop = nullptr);

// The times of the knots.
std::vector<double> KnotTimes(const math::NoiseSchedule& schedule,
                              int64_t knots);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_ESTIMATOR_H_
