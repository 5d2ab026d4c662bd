#ifndef RETORT_CORE_ANALYTIC_PRECONDITION_H_
#define RETORT_CORE_ANALYTIC_PRECONDITION_H_

#include <string>

#include "absl/status/statusor.h"
#include "core/analytic/artefact.h"
#include "core/analytic/estimator.h"
#include "core/analytic/spectral_fit.h"
#include "core/analytic/teacher_source.h"
#include "core/analytic/trajectory_moments.h"
#include "core/base/clock.h"
#include "core/math/noise_schedule.h"

namespace retort::analytic {

struct PreconditionOptions {
  math::NoiseSchedule schedule;
  EstimateOptions estimate;
  // Runs trajectories for the fitted preconditionings; false saves their
  // network calls and leaves fitted-* unavailable.
  bool fit = true;
  TrajectoryOptions trajectory;
  // Also fits per frequency, on the same trajectories: fitted-spectral.
  bool fit_spectral = false;
  SpectralOptions spectral;
  ServedTraining served;

  // Whether they are possible for samples of `dimension` entries (0: any).
  absl::Status Validate(int64_t dimension = 0) const;
  // Network calls at most (a tolerance can save some).
  int64_t MaxNetworkCalls() const;
};

// A whole estimate_preconditioning job but for the file: statistics, then
// trajectories. Progress fractions run from 0 to 1 over both, weighed by
// their network calls. Errors: as EstimateStatistics.
absl::StatusOr<PreconditioningArtefact> EstimatePreconditioning(
    const TeacherSource& source, const PreconditionOptions& options,
    base::Clock* clock, const ProgressCallback& progress = nullptr,
    const StopCallback& stop = nullptr);

// The paper's bound on the cost of an estimation, as a share of the training
// that it serves (arXiv 2502.02922, section 3.3).
inline constexpr double kLargestCostShare = 0.01;

// Returns for people what the estimation cost, as a share of the training that
// it serves if one was named.
std::string CostSentence(const PreconditioningArtefact& artefact);

// Returns a table for people: root mean square state gap |f - x_s| / sqrt(d)
// of every preconditioning with the teacher as the student, on the jumps that
// one-, two- and four-step samplers make of the fit's grid, and on a few
// short ones. InvalidArgument without trajectories.
absl::StatusOr<std::string> GapTable(const PreconditioningArtefact& artefact);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_PRECONDITION_H_
