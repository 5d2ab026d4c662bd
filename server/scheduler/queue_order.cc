#include "server/scheduler/queue_order.h"

#include <algorithm>
#include <tuple>

namespace retort::scheduler {
namespace {

// Older than so many steps is old enough.
constexpr int64_t kMaxSteps = 1000000;

Resources All(const RunningGang& gang) {
  int ranks = 0;
  for (const NodeRanks& at : gang.nodes) ranks += at.ranks;
  return {ranks * gang.per_rank.gpus, ranks * gang.per_rank.cpus};
}

// How often a queue's first job has waited `age_step` as the first.
int64_t Age(const Queue& queue, absl::Time now, absl::Duration age_step) {
  if (age_step == absl::InfiniteDuration() || queue.head_since >= now) {
    return 0;
  }
  absl::Duration rest;
  const absl::Duration wait =
      std::min(now - queue.head_since, kMaxSteps * age_step);
  return absl::IDivDuration(wait, age_step, &rest);
}

}  // namespace

double Charge(Resources all, const PolicyOptions& options) {
  return std::max<double>(all.gpus, all.cpus * options.gpus_per_cpu);
}

bool QueueOrder::Head::operator<(const Head& other) const {
  return std::tie(other.level, share, seq) >
         std::tie(level, other.share, other.seq);
}

QueueOrder::QueueOrder(const Snapshot& snapshot, const PolicyOptions& options)
    : snapshot_(snapshot),
      options_(options),
      dropped_(snapshot.projects.size()),
      position_(snapshot.queues.size()) {
  const double horizon = absl::ToDoubleSeconds(options.share_horizon);
  for (const Project& project : snapshot.projects) {
    used_.push_back(project.usage);
  }
  for (const RunningGang* gang : snapshot.running) {
    if (gang->stopping) continue;
    used_[gang->project] += horizon * Charge(All(*gang), options);
  }
  for (size_t i = 0; i < snapshot.queues.size(); ++i) {
    Push(static_cast<int>(i));
  }
}

double QueueOrder::ShareOf(int project) const {
  return used_[project] / snapshot_.projects[project].weight;
}

void QueueOrder::Push(int queue) {
  const Queue& from = snapshot_.queues[queue];
  const size_t at = position_[queue];
  if (at >= from.jobs.size()) return;
  const int64_t age = at == 0 ? Age(from, snapshot_.now, options_.age_step) : 0;
  const int64_t level = static_cast<int64_t>(from.job_class) + age;
  heap_.push_back({level, ShareOf(from.project), from.jobs[at]->seq, queue});
  std::push_heap(heap_.begin(), heap_.end());
}

bool QueueOrder::Next(Candidate* next) {
  while (claim_ < snapshot_.claims.size()) {
    const Claim& claim = snapshot_.claims[claim_++];
    if (dropped_[claim.project]) continue;
    *next = {claim.job, claim.project, claim.job_class, claim.job_class,
             &claim};
    return true;
  }
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end());
    const Head head = heap_.back();
    heap_.pop_back();
    const Queue& queue = snapshot_.queues[head.queue];
    if (dropped_[queue.project]) continue;
    // Shares only grow, so a head that was first with an old one is put back
    // until it is first with the new one.
    if (head.share != ShareOf(queue.project)) {
      Push(head.queue);
      continue;
    }
    constexpr auto kMost = static_cast<int64_t>(JobClass::kHigh);
    *next = {queue.jobs[position_[head.queue]++], queue.project,
             queue.job_class,
             static_cast<JobClass>(std::min(head.level, kMost))};
    Push(head.queue);
    return true;
  }
  return false;
}

void QueueOrder::Started(const Candidate& candidate) {
  const Gang& gang = candidate.job->gang;
  used_[candidate.project] += absl::ToDoubleSeconds(options_.share_horizon) *
                              Charge({gang.gpus(), gang.cpus()}, options_);
}

absl::Time QueueOrder::NextAging() const {
  absl::Time next = absl::InfiniteFuture();
  for (const Queue& queue : snapshot_.queues) {
    if (queue.jobs.empty()) continue;
    const int64_t age = Age(queue, snapshot_.now, options_.age_step);
    next = std::min(next, queue.head_since + (age + 1) * options_.age_step);
  }
  return next;
}

}  // namespace retort::scheduler
