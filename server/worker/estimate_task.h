#ifndef RETORT_SERVER_WORKER_ESTIMATE_TASK_H_
#define RETORT_SERVER_WORKER_ESTIMATE_TASK_H_

#include "absl/status/statusor.h"
#include "retort/v1/spec.pb.h"
#include "server/worker/task.h"

namespace retort::worker {

// Estimates l and S of a teacher, and its trajectories' moments; leaves the
// artefact with its plot in result/. Has no checkpoints: a stopped estimation
// starts again.
absl::StatusOr<internal::v1::TaskEnded> EstimatePreconditioning(
    const TaskContext& context, const v1::EstimatePreconditioningSpec& spec);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_ESTIMATE_TASK_H_
