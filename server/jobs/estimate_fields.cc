#include "server/jobs/estimate_fields.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/jobs/model_facts.h"

namespace retort::jobs {
namespace {

// Coefficients per frequency grow with the square of the grid, and with the
// size of images.
constexpr int kMaxSpectralTimes = 64;
constexpr int64_t kMaxServedBatch = int64_t{1} << 24;

}  // namespace

void ResolveEstimatorFields(v1::EstimatePreconditioningSpec* task,
                            const std::string& at, SpecProblems* problems) {
  using Spec = v1::EstimatePreconditioningSpec;
  if (task->trace_estimator() == Spec::TRACE_ESTIMATOR_UNSPECIFIED) {
    task->set_trace_estimator(Spec::TRACE_ESTIMATOR_STEIN);
  }
  problems->Require(
      Spec::TraceEstimator_IsValid(task->trace_estimator()),
      at + ".trace_estimator",
      "is unknown; use TRACE_ESTIMATOR_STEIN or TRACE_ESTIMATOR_HUTCHINSON");
  if (task->scale_estimator() == Spec::SCALE_ESTIMATOR_UNSPECIFIED) {
    task->set_scale_estimator(Spec::SCALE_ESTIMATOR_RMS);
  }
  problems->Require(
      Spec::ScaleEstimator_IsValid(task->scale_estimator()),
      at + ".scale_estimator",
      "is unknown; use SCALE_ESTIMATOR_RMS or SCALE_ESTIMATOR_JVP");
  problems->Require(
      task->tolerance() >= 0 && std::isfinite(task->tolerance()),
      at + ".tolerance",
      absl::StrCat("is ", task->tolerance(),
                   "; must be a standard error to stop at, or 0 for never"));
  if (!task->has_spectral()) {
    task->set_spectral(task->trajectories() != -1 &&
                       task->grid_size() <= kMaxSpectralTimes);
  }
  if (task->spectral()) {
    problems->Require(task->trajectories() != -1, at + ".spectral",
                      "is fitted on trajectories, and trajectories is -1; "
                      "leave one of the two out");
    problems->Require(
        task->grid_size() <= kMaxSpectralTimes, at + ".grid_size",
        absl::StrCat("is ", task->grid_size(), "; with spectral, at most ",
                     kMaxSpectralTimes));
  }
  problems->Require(task->served_iterations() >= 0, at + ".served_iterations",
                    absl::StrCat("is ", task->served_iterations(),
                                 "; must be a number of iterations, or 0"));
  if (task->served_batch_size() == 0 && task->served_iterations() > 0) {
    task->set_served_batch_size(64);
  }
  problems->Require(task->served_batch_size() >= 0 &&
                        task->served_batch_size() <= kMaxServedBatch,
                    at + ".served_batch_size",
                    absl::StrCat("is ", task->served_batch_size(),
                                 "; must be in [1, ", kMaxServedBatch, "]"));
}

void RequireTablesOf(v1::PreconditioningKind kind, const v1::Model& tables,
                     const std::string& field, SpecProblems* problems) {
  const ArtefactFacts facts = ArtefactFactsOf(tables);
  if (!facts.known) return;
  const bool fitted = kind == v1::PRECONDITIONING_KIND_FITTED_STATE ||
                      kind == v1::PRECONDITIONING_KIND_FITTED_DENOISER;
  problems->Require(
      !fitted || facts.trajectories, field,
      absl::StrCat(tables.name(), " was estimated with trajectories -1, and ",
                   "FITTED_* need them; estimate one with trajectories left "
                   "out, or choose ANALYTIC"));
  problems->Require(
      kind != v1::PRECONDITIONING_KIND_FITTED_SPECTRAL || facts.spectral, field,
      absl::StrCat(tables.name(), " has no coefficients per frequency, which ",
                   "FITTED_SPECTRAL needs; estimate one with spectral: true, "
                   "or choose FITTED_STATE"));
}

v1::PreconditioningKind BestKindOf(const v1::Model& tables) {
  const ArtefactFacts facts = ArtefactFactsOf(tables);
  if (facts.spectral) return v1::PRECONDITIONING_KIND_FITTED_SPECTRAL;
  if (facts.trajectories) return v1::PRECONDITIONING_KIND_FITTED_STATE;
  return v1::PRECONDITIONING_KIND_ANALYTIC;
}

}  // namespace retort::jobs
