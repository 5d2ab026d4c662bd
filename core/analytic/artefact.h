#ifndef RETORT_CORE_ANALYTIC_ARTEFACT_H_
#define RETORT_CORE_ANALYTIC_ARTEFACT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/analytic/estimator.h"
#include "core/analytic/trajectory_moments.h"
#include "core/math/jump.h"
#include "core/math/noise_schedule.h"

// The preconditioning artefact: what an estimate_preconditioning job leaves,
// a model directory of kind "preconditioning" (docs/formats.md). It holds
// measurements of a teacher (statistics per knot with their errors, moments
// of its trajectories); the coefficient tables follow from them.
namespace retort::analytic {

struct PreconditioningArtefact {
  math::NoiseSchedule schedule;
  std::string teacher_hash;  // SHA-256 of the teacher's weights
  std::string data_hash;     // the data set's manifest hash

  EstimateOptions estimate;
  TeacherStatistics statistics;

  // Absent if no trajectories were run: fitted-* are not available then.
  std::optional<TrajectoryOptions> fit;
  std::optional<TrajectoryMoments> moments;

  // Wall time of the estimation. Told to people; no part of the identity.
  double seconds = 0;

  int64_t network_calls() const;

  // SHA-256 over everything above but `seconds`, batch sizes included not:
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

// Every name that MakeJump knows, "cm" first.
const std::vector<std::string>& JumpNames();

// True for the names that need an artefact.
bool JumpNeedsArtefact(absl::string_view name);

// Returns the named preconditioning for the schedule:
//   cm, bcm, ctm                      closed forms; `artefact_dir` is ignored
//   analytic, analytic-forward        from the artefact's statistics
//   fitted-state, fitted-denoiser     from the artefact's trajectory moments
//
// Errors: InvalidArgument for an unknown name, a missing `artefact_dir`, or
// an artefact that does not cover the schedule's times; FailedPrecondition
// for fitted-* from an artefact without trajectories; and ReadArtefact's.
absl::StatusOr<std::shared_ptr<const math::JumpPrecond>> MakeJump(
    absl::string_view name, const math::NoiseSchedule& schedule,
    const std::string& artefact_dir = "");

// The same from an artefact in memory (null for the closed forms).
absl::StatusOr<std::shared_ptr<const math::JumpPrecond>> MakeJumpFrom(
    absl::string_view name, const math::NoiseSchedule& schedule,
    const PreconditioningArtefact* artefact);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_ARTEFACT_H_
