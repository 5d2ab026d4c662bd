#ifndef RETORT_SERVER_WORKER_JOIN_GANG_H_
#define RETORT_SERVER_WORKER_JOIN_GANG_H_

#include <ATen/core/Tensor.h>

#include <functional>

#include "absl/status/statusor.h"
#include "core/comm/communicator.h"
#include "server/worker/task.h"

namespace retort::worker {

// Joins the processes of the assignment's gang and calls `body` with them; a
// task of one process, or a rehearsal, gets a gang of one. Rank 0 tells the
// server where its store listens: on RETORT_GANG_HOST, the name or address by
// which the other nodes reach this one, or, without that variable, on this
// machine alone. Others find it in their assignment. If `body` fails, the other
// ranks hear why.
//
// Errors: the body's; Unavailable when the others do not come; else those of
// comm::JoinProcessGroup.
absl::StatusOr<internal::v1::TaskEnded> InGang(
    const TaskContext& context,
    const std::function<
        absl::StatusOr<internal::v1::TaskEnded>(comm::Communicator&)>& body);

// Where the assignment wants the task to compute: the CPU, or the one GPU that
// this process sees. FailedPrecondition if it has none.
absl::StatusOr<at::Device> DeviceOf(const internal::v1::Assignment& assignment);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_JOIN_GANG_H_
