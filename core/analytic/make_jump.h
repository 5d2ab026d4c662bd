#ifndef RETORT_CORE_ANALYTIC_MAKE_JUMP_H_
#define RETORT_CORE_ANALYTIC_MAKE_JUMP_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/math/jump.h"
#include "core/math/noise_schedule.h"

// Preconditionings by name.
namespace retort::analytic {

struct PreconditioningArtefact;

// Every name that MakeJump knows, "cm" first.
const std::vector<std::string>& JumpNames();

// True for the names that need an artefact.
bool JumpNeedsArtefact(absl::string_view name);

// Returns the named preconditioning for the schedule:
//   cm, bcm, ctm                      closed forms; `artefact_dir` is ignored
//   analytic, analytic-forward        from the artefact's statistics
//   fitted-state, fitted-denoiser     from the artefact's trajectory moments
//   fitted-spectral                   from the artefact's spectral fit
//
// Errors: InvalidArgument for an unknown name, a missing `artefact_dir`, or
// an artefact that does not cover the schedule's times; FailedPrecondition
// for fitted-* from an artefact without trajectories, or without a spectral
// fit; and ReadArtefact's.
absl::StatusOr<std::shared_ptr<const math::JumpPrecond>> MakeJump(
    absl::string_view name, const math::NoiseSchedule& schedule,
    const std::string& artefact_dir = "");

// The same from an artefact in memory (null for the closed forms).
absl::StatusOr<std::shared_ptr<const math::JumpPrecond>> MakeJumpFrom(
    absl::string_view name, const math::NoiseSchedule& schedule,
    const PreconditioningArtefact* artefact);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_MAKE_JUMP_H_
