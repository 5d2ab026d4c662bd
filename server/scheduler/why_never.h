#ifndef RETORT_SERVER_SCHEDULER_WHY_NEVER_H_
#define RETORT_SERVER_SCHEDULER_WHY_NEVER_H_

#include <optional>
#include <string>

#include "absl/types/span.h"
#include "server/scheduler/snapshot.h"

// The parts of WhyNever() (policy.h); each returns nothing if all is well.
namespace retort::scheduler {

// A gang that makes no sense: no ranks, or groups that do not divide it.
std::optional<std::string> WhyInvalid(const Gang& gang);

// More GPUs than the project may ever hold, or may use in a month.
std::optional<std::string> WhyBeyondQuota(const Project& project,
                                          const QueuedJob& job);

// No place even when all nodes are empty.
std::optional<std::string> WhyTooLarge(absl::Span<const Node> nodes,
                                       const Gang& gang);

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_WHY_NEVER_H_
