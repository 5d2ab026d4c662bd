#ifndef RETORT_CORE_ANALYTIC_ARTEFACT_H_
#define RETORT_CORE_ANALYTIC_ARTEFACT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/analytic/estimator.h"
#include "core/analytic/make_jump.h"  // what an artefact is for
#include "core/analytic/spectral_fit.h"
#include "core/analytic/trajectory_moments.h"
#include "core/math/noise_schedule.h"

// The preconditioning artefact: what an estimate_preconditioning job leaves,
// a model directory of kind "preconditioning" (docs/formats.md). It holds
// measurements of a teacher (statistics per knot with their errors, moments
// of its trajectories); the coefficient tables follow from them.
namespace retort::analytic {

// The training that an artefact is made for, to compare its cost with.
struct ServedTraining {
  int64_t iterations = 0;  // 0: not said
  int64_t batch_size = 64;
};

// Forward passes that distillation spends on an image, at least: forward and
// backward through the student (3), Heun's step of the teacher (2) and the
// target (1), which is all that consistency distillation does. A trajectory
// model's step is several times that.
inline constexpr double kForwardsPerTrainedImage = 6;

struct PreconditioningArtefact {
  math::NoiseSchedule schedule;
  std::string teacher_hash;  // SHA-256 of the teacher's weights
  std::string data_hash;     // the data set's manifest hash

  EstimateOptions estimate;
  TeacherStatistics statistics;

  // Absent if no trajectories were run: fitted-* are not available then.
  std::optional<TrajectoryOptions> fit;
  std::optional<TrajectoryMoments> moments;

  // Coefficients per frequency, if they were asked for. `spectral_hash` is
  // their Hash(), and part of the identity: a student of another kind carries
  // the artefact without them, and its id can still be checked.
  std::optional<SpectralFit> spectral;
  std::string spectral_hash;

  // Wall time of the estimation. Told to people; no part of the identity.
  double seconds = 0;
  ServedTraining served;  // likewise

  int64_t network_calls() const;
  // The same in forward passes: derivatives cost more than one.
  int64_t forward_equivalents() const;
  // forward_equivalents() as a share of the served training's, which is counted
  // low (kForwardsPerTrainedImage): an upper bound. nullopt if none was named.
  std::optional<double> CostShare() const;

  // SHA-256 over everything above but costs, batch sizes included not:
  // equal teacher, data, options and results give equal ids.
  std::string ContentId() const;
};

// Writes the artefact and its preconditioning.svg to `dir`, which appears at
// once and whole. Returns its content id. Errors: as io::WriteModelDir;
// InvalidArgument if no table can be made of the statistics.
absl::StatusOr<std::string> WriteArtefact(
    const PreconditioningArtefact& artefact, const std::string& dir);

// Errors: as io::ReadModelDir; InvalidArgument, naming the field or tensor,
// if the directory holds something else or its parts do not fit together;
// DataLoss if the content does not match its id.
absl::StatusOr<PreconditioningArtefact> ReadArtefact(const std::string& dir);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_ARTEFACT_H_
