#ifndef RETORT_SERVER_WORKER_EVALUATE_TASK_H_
#define RETORT_SERVER_WORKER_EVALUATE_TASK_H_

#include "absl/status/statusor.h"
#include "retort/v1/spec.pb.h"
#include "server/worker/task.h"

namespace retort::worker {

// Measures how good a model's images are: one result for each number of steps
// and each metric of the spec, the mean over its seeds. Images go through in
// batches, so that memory does not grow with their number. What is known of the
// real images is kept for the next evaluation (base::DataDir::cache_dir). Has
// no checkpoints: a stopped evaluation starts again.
absl::StatusOr<internal::v1::TaskEnded> Evaluate(const TaskContext& context,
                                                 const v1::EvaluateSpec& spec);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_EVALUATE_TASK_H_
