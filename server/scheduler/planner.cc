#include "server/scheduler/planner.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "server/scheduler/preemption.h"
#include "server/scheduler/why_never.h"

namespace retort::scheduler {
namespace {

bool AllTaken(const Room& free) {
  return std::all_of(free.begin(), free.end(), [](const Resources& r) {
    return r.gpus <= 0 && r.cpus <= 0;
  });
}

Room Lesser(const Room& a, const Room& b) {
  Room lesser = a;
  for (size_t i = 0; i < a.size(); ++i) {
    lesser[i] = {std::min(a[i].gpus, b[i].gpus),
                 std::min(a[i].cpus, b[i].cpus)};
  }
  return lesser;
}

Room Sum(const Room& a, const Room& b) {
  Room sum = a;
  for (size_t i = 0; i < a.size(); ++i) {
    sum[i].gpus += b[i].gpus;
    sum[i].cpus += b[i].cpus;
  }
  return sum;
}

// Takes `need` from what is stopping as far as it goes, the rest from what is
// free.
void TakePromised(int need, int* stopping, int* promised, int* free) {
  const int of_stopping = std::min(need, *stopping);
  *stopping -= of_stopping;
  *promised += of_stopping;
  *free -= need - of_stopping;
}

}  // namespace

Planner::Planner(const Snapshot& snapshot, const PolicyOptions& options,
                 Listener listener)
    : snapshot_(snapshot),
      options_(options),
      listener_(std::move(listener)),
      order_(snapshot, options),
      quotas_(snapshot),
      stopping_(snapshot.running.size()),
      free_(FreeRoom(snapshot.nodes)),
      stopping_room_(snapshot.nodes.size()),
      promised_(snapshot.nodes.size()) {
  for (const Node& node : snapshot.nodes) usable_.push_back(node.usable);
  for (size_t i = 0; i < snapshot.running.size(); ++i) {
    if (snapshot.running[i]->stopping) MarkStopping(static_cast<int>(i));
  }
}

void Planner::MarkStopping(int index) {
  stopping_[index] = true;
  const RunningGang& gang = *snapshot_.running[index];
  for (const NodeRanks& at : gang.nodes) {
    if (usable_[at.node]) PutBack({at}, gang.per_rank, &stopping_room_);
  }
}

bool Planner::Full() const {
  return static_cast<int>(decision_.start.size()) >= options_.max_starts ||
         preemptors_ >= options_.max_preemptors;
}

Decision Planner::Run() {
  Candidate next;
  int passed = 0;
  while (order_.Next(&next)) {
    if (Full()) {
      decision_.wake = snapshot_.now;
      break;
    }
    const Verdict verdict = Judge(next);
    if (listener_) listener_(next, verdict);
    const bool taken = verdict == Verdict::kStarts ||
                       verdict == Verdict::kPreempts ||
                       verdict == Verdict::kPromised;
    if (!taken && ++passed >= options_.depth) break;
    if (head_ && (!options_.backfill || AllTaken(free_))) break;
  }
  decision_.wake = std::min(decision_.wake, order_.NextAging());
  return std::move(decision_);
}

std::optional<std::string> Planner::Never(const Candidate& candidate) {
  const QueuedJob& job = *candidate.job;
  std::optional<std::string> why = WhyInvalid(job.gang);
  if (!why) why = WhyBeyondQuota(snapshot_.projects[candidate.project], job);
  if (why || whole_.Fits(job.gang)) return why;
  why = WhyTooLarge(snapshot_.nodes, job.gang);
  if (!why) whole_.Add(job.gang, true);
  return why;
}

Verdict Planner::Judge(const Candidate& candidate) {
  const QueuedJob& job = *candidate.job;
  if (std::optional<std::string> why = Never(candidate)) {
    decision_.refuse.push_back({&job, *std::move(why)});
    return Verdict::kNever;
  }
  if (job.not_before > snapshot_.now) {
    decision_.wake = std::min(decision_.wake, job.not_before);
    return Verdict::kNotBefore;
  }
  const QuotaLimit limit = quotas_.Check(candidate.project, job);
  if (limit != QuotaLimit::kNone) {
    // Those behind it in its project would take what it waits for.
    order_.Drop(candidate.project);
    if (limit == QuotaLimit::kGpuHours) {
      const Project& project = snapshot_.projects[candidate.project];
      decision_.wake = std::min(decision_.wake, project.quota.renews);
    }
    return Verdict::kQuota;
  }
  if (head_) return Backfill(candidate);
  if (Start(candidate, free_)) return Verdict::kStarts;
  return Wait(candidate);
}

bool Planner::Start(const Candidate& candidate, const Room& room) {
  Placement nodes = Place(candidate.job->gang, room, options_.packing);
  if (nodes.empty()) return false;
  Take(nodes, candidate.job->gang.per_rank, &free_);
  decision_.start.push_back(
      {candidate.job, Commit(candidate, std::move(nodes), snapshot_.now)});
  return true;
}

const Placement& Planner::Commit(const Candidate& candidate, Placement nodes,
                                 absl::Time start) {
  const QueuedJob& job = *candidate.job;
  quotas_.Add(candidate.project, job);
  order_.Started(candidate);
  placements_.push_back(std::move(nodes));
  releases_.push_back({start + job.time_limit, job.seq, &placements_.back(),
                       job.gang.per_rank});
  return placements_.back();
}

Verdict Planner::Wait(const Candidate& candidate) {
  const Gang& gang = candidate.job->gang;
  if (candidate.claim && Promise(candidate)) return Verdict::kPromised;
  if (usable_whole_.TooLarge(gang)) return Verdict::kNodesDown;
  std::optional<Reservation> reservation = ReserveFor(gang);
  if (!reservation) {
    usable_whole_.Add(gang, false);
    return Verdict::kNodesDown;
  }
  const bool soon = reservation->start <= snapshot_.now + options_.stop_time;
  if (options_.preempt && !soon) {
    if (Preempt(candidate)) return Verdict::kPreempts;
    decision_.wake = std::min(
        decision_.wake, NextVictimAt(candidate.job_class, snapshot_, options_));
  }
  head_ = std::move(reservation);
  return Verdict::kHead;
}

bool Planner::Preempt(const Candidate& candidate) {
  const std::vector<int> victims = ChooseVictims(
      candidate, snapshot_, Sum(free_, stopping_room_), stopping_, options_);
  if (victims.empty()) return false;
  for (const int index : victims) {
    MarkStopping(index);
    decision_.preempt.push_back({snapshot_.running[index], candidate.job});
  }
  ++preemptors_;
  RETORT_CHECK(Promise(candidate), candidate.job->name);
  return true;
}

bool Planner::Promise(const Candidate& candidate) {
  const Gang& gang = candidate.job->gang;
  Placement nodes = Place(gang, Sum(free_, stopping_room_), options_.packing);
  if (nodes.empty()) return false;
  for (const NodeRanks& at : nodes) {
    Resources& stopping = stopping_room_[at.node];
    Resources& promised = promised_[at.node];
    Resources& free = free_[at.node];
    TakePromised(at.ranks * gang.per_rank.gpus, &stopping.gpus, &promised.gpus,
                 &free.gpus);
    TakePromised(at.ranks * gang.per_rank.cpus, &stopping.cpus, &promised.cpus,
                 &free.cpus);
  }
  Commit(candidate, std::move(nodes), snapshot_.now + options_.stop_time);
  return true;
}

std::optional<Reservation> Planner::ReserveFor(const Gang& gang) const {
  Outlook outlook{free_, promised_, usable_, releases_};
  outlook.releases.reserve(releases_.size() + snapshot_.running.size());
  for (size_t i = 0; i < snapshot_.running.size(); ++i) {
    const RunningGang& running = *snapshot_.running[i];
    const bool victim = stopping_[i] && !running.stopping;
    outlook.releases.push_back(
        {victim ? snapshot_.now + options_.stop_time : running.expected_end,
         running.seq, &running.nodes, running.per_rank});
  }
  return Reserve(gang, snapshot_.now, std::move(outlook), options_.packing);
}

Verdict Planner::Backfill(const Candidate& candidate) {
  const Gang& gang = candidate.job->gang;
  if (now_.TooLarge(gang)) return Verdict::kNoRoom;
  const bool ends_before =
      head_->start < absl::InfiniteFuture() &&
      snapshot_.now + candidate.job->time_limit <= head_->start;
  if (ends_before) {
    if (Start(candidate, free_)) return Verdict::kStarts;
    now_.Add(gang, false);
    return Verdict::kNoRoom;
  }
  if (!beyond_.TooLarge(gang)) {
    if (Start(candidate, Lesser(free_, head_->spare))) {
      Take(placements_.back(), gang.per_rank, &head_->spare);
      return Verdict::kStarts;
    }
    beyond_.Add(gang, false);
  }
  // Which of the two it is only matters to who listens, and takes a look at all
  // nodes.
  const bool fits = listener_ && RanksIn(gang, free_) >= gang.ranks;
  return fits ? Verdict::kWouldDelay : Verdict::kNoRoom;
}

}  // namespace retort::scheduler
