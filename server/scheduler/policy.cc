#include "server/scheduler/policy.h"

#include "server/scheduler/planner.h"

namespace retort::scheduler {

Decision Decide(const Snapshot& snapshot, const PolicyOptions& options) {
  return Planner(snapshot, options).Run();
}

}  // namespace retort::scheduler
