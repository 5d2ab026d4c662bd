#include "core/analytic/make_jump.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/analytic/analytic_table.h"
#include "core/analytic/artefact.h"
#include "core/analytic/fitted_table.h"
#include "core/analytic/spectral_jump.h"
#include "core/analytic/tabulated_jump.h"
#include "core/base/status_macros.h"

namespace retort::analytic {
namespace {

std::shared_ptr<const math::JumpPrecond> ClosedFormJump(
    absl::string_view name, const math::NoiseSchedule& schedule) {
  if (name == "cm") {
    return std::make_shared<math::CmJump>(schedule.sigma_min,
                                          schedule.sigma_data);
  }
  if (name == "bcm") {
    return std::make_shared<math::BcmJump>(schedule.sigma_data);
  }
  return std::make_shared<math::CtmJump>();
}

absl::Status CheckCovers(const math::NoiseSchedule& schedule, double t_min,
                         double t_max) {
  constexpr double kSlack = 1e-6;
  if (schedule.sigma_min >= t_min * (1 - kSlack) &&
      schedule.sigma_max <= t_max * (1 + kSlack)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the schedule runs from ", schedule.sigma_max, " to ", schedule.sigma_min,
      " but the preconditioning artefact covers ", t_max, " to ", t_min,
      "; estimate one for this schedule (estimate_preconditioning)"));
}

absl::StatusOr<std::shared_ptr<const math::JumpPrecond>> SpectralJumpOf(
    const PreconditioningArtefact& artefact,
    const math::NoiseSchedule& schedule) {
  if (!artefact.spectral) {
    return absl::FailedPreconditionError(
        "preconditioning 'fitted-spectral' needs an artefact with coefficients "
        "per frequency; estimate one with spectral: true");
  }
  const SpectralFit& fit = *artefact.spectral;
  RETORT_ASSIGN_OR_RETURN(const auto jump, SpectralJump::Create(fit));
  RETORT_RETURN_IF_ERROR(
      CheckCovers(schedule, fit.times.back(), fit.times.front()));
  return jump;
}

absl::Status CheckName(absl::string_view name) {
  const auto& names = JumpNames();
  if (std::find(names.begin(), names.end(), name) != names.end()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown preconditioning '",
                                                 name, "'; known are ",
                                                 absl::StrJoin(names, ", ")));
}

}  // namespace

const std::vector<std::string>& JumpNames() {
  static const auto* const kNames =
      new std::vector<std::string>{"cm",
                                   "bcm",
                                   "ctm",
                                   "analytic",
                                   "analytic-forward",
                                   "fitted-state",
                                   "fitted-denoiser",
                                   "fitted-spectral"};
  return *kNames;
}

bool JumpNeedsArtefact(absl::string_view name) {
  return name != "cm" && name != "bcm" && name != "ctm";
}

absl::StatusOr<std::shared_ptr<const math::JumpPrecond>> MakeJump(
    absl::string_view name, const math::NoiseSchedule& schedule,
    const std::string& artefact_dir) {
  RETORT_RETURN_IF_ERROR(CheckName(name));
  if (!JumpNeedsArtefact(name)) return ClosedFormJump(name, schedule);
  if (artefact_dir.empty()) return MakeJumpFrom(name, schedule, nullptr);
  RETORT_ASSIGN_OR_RETURN(const PreconditioningArtefact artefact,
                          ReadArtefact(artefact_dir));
  return MakeJumpFrom(name, schedule, &artefact);
}

absl::StatusOr<std::shared_ptr<const math::JumpPrecond>> MakeJumpFrom(
    absl::string_view name, const math::NoiseSchedule& schedule,
    const PreconditioningArtefact* artefact) {
  RETORT_RETURN_IF_ERROR(CheckName(name));
  if (!JumpNeedsArtefact(name)) return ClosedFormJump(name, schedule);
  if (artefact == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "preconditioning '", name,
        "' needs an artefact; run an estimate_preconditioning job on the "
        "teacher and name its result"));
  }
  if (name == "analytic" || name == "analytic-forward") {
    RETORT_ASSIGN_OR_RETURN(
        const auto table, AnalyticTable::FromStatistics(artefact->statistics));
    RETORT_RETURN_IF_ERROR(
        CheckCovers(schedule, table->t_min(), table->t_max()));
    return std::make_shared<AnalyticJump>(table, name == "analytic-forward");
  }
  if (name == "fitted-spectral") return SpectralJumpOf(*artefact, schedule);
  if (!artefact->moments) {
    return absl::FailedPreconditionError(absl::StrCat(
        "preconditioning '", name,
        "' needs an artefact with trajectories, and this one was estimated "
        "with trajectories -1; estimate one with trajectories left out"));
  }
  RETORT_ASSIGN_OR_RETURN(
      const auto table,
      FittedTable::Fit(*artefact->moments, artefact->schedule.sigma_data));
  RETORT_RETURN_IF_ERROR(CheckCovers(schedule, table->t_min(), table->t_max()));
  return std::make_shared<FittedJump>(
      table, name == "fitted-state" ? FitTarget::kState : FitTarget::kDenoiser);
}

}  // namespace retort::analytic
