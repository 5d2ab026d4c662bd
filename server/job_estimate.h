#ifndef RETORT_SERVER_JOB_ESTIMATE_H_
#define RETORT_SERVER_JOB_ESTIMATE_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "retort/v1/job_service.pb.h"
#include "server/jobs/model_lookup.h"

namespace retort {

// Says what a job of a resolved spec takes, in a process of its own:
// `<worker_binary> --estimate <JSON>`, for it takes LibTorch to know. With
// `measure` that process also runs one training step, which takes as much
// memory as one image needs, and seconds to minutes. Blocks; once `stop` says
// so, and when it takes too long, the process is killed.
//
// Errors: what the worker found (INVALID_ARGUMENT, FAILED_PRECONDITION,
// RESOURCE_EXHAUSTED); NOT_FOUND for a model; CANCELLED; RESOURCE_EXHAUSTED if
// the process was killed by the system; UNAVAILABLE if it cannot be started or
// takes too long.
absl::StatusOr<v1::JobEstimate> EstimateJob(const std::string& worker_binary,
                                            jobs::ModelLookup* models,
                                            const v1::JobSpec& spec,
                                            bool measure,
                                            const std::function<bool()>& stop);

}  // namespace retort

#endif  // RETORT_SERVER_JOB_ESTIMATE_H_
