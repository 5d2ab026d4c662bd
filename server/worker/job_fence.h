#ifndef RETORT_SERVER_WORKER_JOB_FENCE_H_
#define RETORT_SERVER_WORKER_JOB_FENCE_H_

#include "absl/time/time.h"
#include "core/train/fence.h"
#include "retort/internal/v1/worker.pb.h"

namespace retort::worker {

// The fence of a job's folder: ends this process at once, as kWorkerFenced,
// unless the folder's epoch file names this very incarnation and the folder is
// the one it was when the fence was made. The server may
// have been unable to reach it and say so (its node was cut off). A file that
// cannot be read lets nothing pass; a folder without any does: a server of an
// older version left it.
// It is asked again for as long as `patience`: file systems of many machines
// have their moments.
train::Fence FenceOf(const internal::v1::Assignment& assignment,
                     absl::Duration patience = absl::Seconds(10));

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_JOB_FENCE_H_
