#include "server/scheduler/policy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace retort::scheduler {

Decision Decide(const Snapshot& snapshot) {
  std::vector<QueuedJob> queue = snapshot.queued;
  std::sort(queue.begin(), queue.end(),
            [](const QueuedJob& a, const QueuedJob& b) {
              return a.priority != b.priority ? a.priority > b.priority
                                              : a.seq < b.seq;
            });
  int free = snapshot.cpu_slots;
  for (const RunningJob& job : snapshot.running) free -= job.cpu_threads;

  Decision decision;
  bool blocked = false;
  for (const QueuedJob& job : queue) {
    if (job.cpu_threads > snapshot.cpu_slots) {
      decision.refuse.push_back(
          {job.name, absl::StrCat("needs ", job.cpu_threads,
                                  " CPU slots, but the service has ",
                                  snapshot.cpu_slots)});
    } else if (job.not_before > snapshot.now) {
      decision.wake = std::min(decision.wake, job.not_before);
    } else if (!blocked && job.cpu_threads <= free) {
      free -= job.cpu_threads;
      decision.start.push_back(job.name);
    } else {
      blocked = true;
    }
  }
  return decision;
}

}  // namespace retort::scheduler
