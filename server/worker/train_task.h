#ifndef RETORT_SERVER_WORKER_TRAIN_TASK_H_
#define RETORT_SERVER_WORKER_TRAIN_TASK_H_

#include "absl/status/statusor.h"
#include "retort/v1/spec.pb.h"
#include "server/worker/task.h"

// Tasks that train a network, alone or as one process of a gang. Both go on
// from the newest whole checkpoint in the job's folder, or begin with that of
// another job if the assignment says so, and leave the model in result/.
// Unavailable when another process of the gang is gone.
namespace retort::worker {

absl::StatusOr<internal::v1::TaskEnded> TrainTeacher(
    const TaskContext& context, const v1::TrainTeacherSpec& spec);

absl::StatusOr<internal::v1::TaskEnded> Distill(const TaskContext& context,
                                                const v1::DistillSpec& spec);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_TRAIN_TASK_H_
