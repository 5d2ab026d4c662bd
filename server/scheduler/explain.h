#ifndef RETORT_SERVER_SCHEDULER_EXPLAIN_H_
#define RETORT_SERVER_SCHEDULER_EXPLAIN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/scheduler/policy.h"
#include "server/scheduler/snapshot.h"

namespace retort::scheduler {

enum class WaitReason {
  kStarts,     // it does not wait: it starts now
  kNever,      // it can never start here
  kNotBefore,  // its wait after a failed try is not over
  kQuota,      // its project is at a limit, or an earlier job of it waits so
  kNodesDown,  // it needs nodes that are drained or down
  kStopping,   // jobs of a lower class write a checkpoint to make room
  kFirst,      // first in line, waits for room; the room is reserved
  kNoRoom,     // others are before it, and it would not fit now either
  kBehind,     // would fit now, but might delay the first in line, or so many
               // are before it that it was not looked at
};

struct Explanation {
  WaitReason reason = WaitReason::kBehind;
  // A sentence without its subject: "waits for 4 nodes with 8 free GPUs each
  // (1 now); 2 jobs are before it; by expected ends it may start at 14:20 UTC
  // or later".
  std::string words;
  // Jobs that would be tried before it, by the present order.
  int64_t before = 0;
  // When it may start at the earliest, by the expected ends of what runs, if
  // that is known; infinite if not.
  absl::Time earliest = absl::InfiniteFuture();
};

// Why a waiting job waits, by the decision that Decide() takes on the same
// snapshot. Its time grows with the job's place in the queue. NotFound if no
// queue and no claim has the job.
absl::StatusOr<Explanation> Explain(const Snapshot& snapshot,
                                    const PolicyOptions& options,
                                    absl::string_view name);

// A job that waits, with why.
struct QueueEntry {
  const QueuedJob* job = nullptr;
  int project = 0;
  JobClass job_class = JobClass::kNormal;  // as asked for
  Explanation explanation;
};

// The first `count` jobs in the order in which they would be tried if each
// that is tried started, by one decision. A project at its quota has its place
// in this order, though none of its jobs is tried.
std::vector<QueueEntry> ExplainFirst(const Snapshot& snapshot,
                                     const PolicyOptions& options, int count);

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_EXPLAIN_H_
