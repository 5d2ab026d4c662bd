#include "server/scheduler/why_never.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/base/words.h"
#include "server/scheduler/placement.h"
#include "server/scheduler/policy.h"

namespace retort::scheduler {
namespace {

using service::Are;
using service::Count;

// "1 GPU and 8 CPU slots".
std::string SizeOf(Resources size) {
  const std::string cpus = Count(size.cpus, "CPU slot");
  if (size.gpus == 0) return cpus;
  return absl::StrCat(Count(size.gpus, "GPU"), " and ", cpus);
}

// Of a gang that would fit if a node might hold more of its ranks.
std::optional<std::string> WhyTooFewNodes(absl::Span<const Node> nodes,
                                          const Gang& gang) {
  Gang packed = gang;
  packed.max_ranks_per_node = 0;
  if (RanksIn(packed, WholeRoom(nodes)) < gang.ranks) return std::nullopt;
  const int most = gang.max_ranks_per_node;
  const int each = most - most % gang.ranks_together;
  const int64_t needed = (gang.ranks + each - 1) / each;
  const int64_t there = std::count_if(
      nodes.begin(), nodes.end(),
      [&](const Node& node) { return RanksOn(gang, node.total) >= each; });
  return absl::StrCat(
      "needs ", Count(needed, "node"), " with ",
      SizeOf({each * gang.per_rank.gpus, each * gang.per_rank.cpus}),
      " each (max_ranks_per_node is ", most, "), but there", Are(there),
      Count(there, "such node"));
}

}  // namespace

std::optional<std::string> WhyInvalid(const Gang& gang) {
  if (gang.ranks < 1 || gang.per_rank.gpus < 0 || gang.per_rank.cpus < 0 ||
      gang.max_ranks_per_node < 0) {
    return "its gang has no ranks, or needs less than nothing";
  }
  if (gang.ranks_together < 1 || gang.ranks % gang.ranks_together != 0) {
    return absl::StrCat(gang.ranks,
                        " ranks cannot be put together in groups of ",
                        gang.ranks_together);
  }
  if (gang.max_ranks_per_node > 0 &&
      gang.max_ranks_per_node < gang.ranks_together) {
    return absl::StrCat("a node may hold ",
                        Count(gang.max_ranks_per_node, "rank"), ", but ",
                        gang.ranks_together, " must share one");
  }
  return std::nullopt;
}

std::optional<std::string> WhyBeyondQuota(const Project& project,
                                          const QueuedJob& job) {
  const int gpus = job.gang.gpus();
  const Quota& quota = project.quota;
  if (gpus > quota.max_gpus) {
    return absl::StrCat("needs ", Count(gpus, "GPU"),
                        ", but the quota of project ", project.name, " is ",
                        quota.max_gpus);
  }
  // Clipped to a month: one that begins in the last hour of a month may use
  // all of the next.
  const absl::Duration most = std::min(job.time_limit, absl::Hours(24 * 28));
  const double hours = gpus * absl::ToDoubleHours(most);
  if (job.time_limit < absl::InfiniteDuration() &&
      hours > quota.max_gpu_hours) {
    return absl::StrCat("may use ", hours,
                        " GPU-hours by its time limit, but "
                        "the quota of project ",
                        project.name, " is ", quota.max_gpu_hours, " a month");
  }
  return std::nullopt;
}

std::optional<std::string> WhyTooLarge(absl::Span<const Node> nodes,
                                       const Gang& gang) {
  const int64_t fit = RanksIn(gang, WholeRoom(nodes));
  if (fit >= gang.ranks) return std::nullopt;
  if (auto why = WhyTooFewNodes(nodes, gang)) return why;
  if (nodes.size() == 1 && gang.gpus() == 0) {
    return absl::StrCat("needs ", Count(gang.cpus(), "CPU slot"),
                        ", but the service has ", nodes[0].total.cpus);
  }
  Resources all;
  for (const Node& node : nodes) {
    all.gpus += node.total.gpus;
    all.cpus += node.total.cpus;
  }
  if (gang.gpus() > all.gpus) {
    return absl::StrCat("needs ", Count(gang.gpus(), "GPU"),
                        ", but the cluster has ", all.gpus);
  }
  return absl::StrCat("needs ", Count(gang.ranks, "rank"), " of ",
                      SizeOf(gang.per_rank), gang.ranks == 1 ? "" : " each",
                      ", but all nodes together can hold ", fit);
}

std::optional<std::string> WhyNever(absl::Span<const Node> nodes,
                                    const Project& project,
                                    const QueuedJob& job) {
  std::optional<std::string> why = WhyInvalid(job.gang);
  if (!why) why = WhyBeyondQuota(project, job);
  if (!why) why = WhyTooLarge(nodes, job.gang);
  return why;
}

}  // namespace retort::scheduler
