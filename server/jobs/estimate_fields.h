#ifndef RETORT_SERVER_JOBS_ESTIMATE_FIELDS_H_
#define RETORT_SERVER_JOBS_ESTIMATE_FIELDS_H_

#include <string>

#include "retort/v1/model_service.pb.h"
#include "retort/v1/spec.pb.h"
#include "server/jobs/spec_problems.h"

// What SpecResolver asks about preconditioning artefacts.
namespace retort::jobs {

// Fills in and checks the fields of an estimation that choose estimators, the
// spectral fit and the training that the cost is compared with. `at` is the
// path of `task` below the spec.
void ResolveEstimatorFields(v1::EstimatePreconditioningSpec* task,
                            const std::string& at, SpecProblems* problems);

// Checks that the artefact `tables` has what `kind` is made of: trajectories,
// or coefficients per frequency. A manifest that says nothing passes.
void RequireTablesOf(v1::PreconditioningKind kind, const v1::Model& tables,
                     const std::string& field, SpecProblems* problems);

// What trains fastest of what these tables have, as far as was measured
// (docs/experiments/preconditioning.md): FITTED_SPECTRAL, else FITTED_STATE,
// else ANALYTIC.
v1::PreconditioningKind BestKindOf(const v1::Model& tables);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_ESTIMATE_FIELDS_H_
