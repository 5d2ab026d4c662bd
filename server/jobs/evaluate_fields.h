#ifndef RETORT_SERVER_JOBS_EVALUATE_FIELDS_H_
#define RETORT_SERVER_JOBS_EVALUATE_FIELDS_H_

#include "retort/v1/spec.pb.h"
#include "server/jobs/spec_problems.h"

namespace retort::jobs {

// Fills in and checks what an evaluation measures: metrics, seeds,
// kept_features, neighbours. `samples` must be filled in already.
void ResolveMetrics(v1::EvaluateSpec* task, SpecProblems* problems);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_EVALUATE_FIELDS_H_
