#include "server/scheduler/planner.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
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

bool FitsOn(const Placement& nodes, Resources per_rank, Room room) {
  Take(nodes, per_rank, &room);
  return std::all_of(nodes.begin(), nodes.end(), [&](const NodeRanks& at) {
    return room[at.node].gpus >= 0 && room[at.node].cpus >= 0;
  });
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
    if (head_ && !options_.backfill) break;
    // Those behind it can do without room by others that stop.
    if (head_ && !options_.preempt && AllTaken(free_)) break;
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
  if (candidate.claim != nullptr) {
    if (std::optional<Verdict> verdict = Redeem(candidate)) return *verdict;
  }
  if (head_) return Backfill(candidate);
  if (Start(candidate, free_)) return Verdict::kStarts;
  return Wait(candidate);
}

bool Planner::Start(const Candidate& candidate, const Room& room) {
  Placement nodes = Place(candidate.job->gang, room, options_.packing);
  if (nodes.empty()) return false;
  StartOn(candidate, std::move(nodes));
  return true;
}

void Planner::StartOn(const Candidate& candidate, Placement nodes) {
  Take(nodes, candidate.job->gang.per_rank, &free_);
  decision_.start.push_back({candidate.job,
                             Commit(candidate, std::move(nodes), snapshot_.now),
                             candidate.earned});
}

std::optional<Verdict> Planner::Redeem(const Candidate& candidate) {
  const Placement& nodes = candidate.claim->nodes;
  const Resources per_rank = candidate.job->gang.per_rank;
  const bool usable = !nodes.empty() && std::all_of(nodes.begin(), nodes.end(),
                                                    [&](const NodeRanks& at) {
                                                      return usable_[at.node];
                                                    });
  if (!usable || !FitsOn(nodes, per_rank, Sum(free_, stopping_room_))) {
    return std::nullopt;
  }
  if (FitsOn(nodes, per_rank, free_)) {
    StartOn(candidate, nodes);
    return Verdict::kStarts;
  }
  HoldOn(candidate, nodes);
  return Verdict::kPromised;
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

Hunt Planner::MakeHunt() const {
  Hunt hunt{Sum(free_, stopping_room_), usable_, stopping_};
  if (!head_) return hunt;
  for (const NodeRanks& at : head_->nodes) {
    hunt.room[at.node] = {};
    hunt.nodes[at.node] = false;
  }
  return hunt;
}

bool Planner::Preempt(const Candidate& candidate) {
  const Gang& gang = candidate.job->gang;
  Hunt hunt = MakeHunt();
  const std::vector<int> victims =
      ChooseVictims(candidate, snapshot_, hunt, options_);
  // None are needed if enough is stopping already (for a claim that is gone):
  // its time will come without us.
  if (victims.empty()) return false;
  for (const int index : victims) {
    const RunningGang& victim = *snapshot_.running[index];
    for (const NodeRanks& at : victim.nodes) {
      if (hunt.nodes[at.node]) PutBack({at}, victim.per_rank, &hunt.room);
    }
    MarkStopping(index);
    decision_.preempt.push_back({&victim, candidate.job});
  }
  ++preemptors_;
  Placement nodes = Place(gang, hunt.room, options_.packing);
  RETORT_CHECK(!nodes.empty(), candidate.job->name);
  decision_.promise.push_back({candidate.job, nodes, candidate.earned});
  HoldOn(candidate, std::move(nodes));
  return true;
}

bool Planner::PreemptBehindHead(const Candidate& candidate) {
  const Gang& gang = candidate.job->gang;
  if (!options_.preempt || candidate.job_class != JobClass::kHigh ||
      with_prey_.TooLarge(gang)) {
    return false;
  }
  if (Preempt(candidate)) return true;
  with_prey_.Add(gang, false);
  return false;
}

void Planner::HoldOn(const Candidate& candidate, Placement nodes) {
  const Resources per_rank = candidate.job->gang.per_rank;
  for (const NodeRanks& at : nodes) {
    Resources& stopping = stopping_room_[at.node];
    Resources& promised = promised_[at.node];
    Resources& free = free_[at.node];
    TakePromised(at.ranks * per_rank.gpus, &stopping.gpus, &promised.gpus,
                 &free.gpus);
    TakePromised(at.ranks * per_rank.cpus, &stopping.cpus, &promised.cpus,
                 &free.cpus);
  }
  Commit(candidate, std::move(nodes), snapshot_.now + options_.stop_time);
}

std::optional<Reservation> Planner::ReserveFor(const Gang& gang,
                                               Ends ends) const {
  Outlook outlook{free_, promised_, usable_, releases_};
  outlook.releases.reserve(releases_.size() + snapshot_.running.size());
  for (size_t i = 0; i < snapshot_.running.size(); ++i) {
    const RunningGang& running = *snapshot_.running[i];
    absl::Time end = running.expected_end;
    if (ends == Ends::kEstimated) end = std::min(end, running.estimated_end);
    if (stopping_[i] && !running.stopping) {
      end = std::min(end, snapshot_.now + options_.stop_time);
    }
    outlook.releases.push_back(
        {end, running.seq, &running.nodes, running.per_rank});
  }
  return Reserve(gang, snapshot_.now, std::move(outlook), options_.packing);
}

Verdict Planner::Backfill(const Candidate& candidate) {
  const Gang& gang = candidate.job->gang;
  if (now_.TooLarge(gang)) {
    return PreemptBehindHead(candidate) ? Verdict::kPreempts : Verdict::kNoRoom;
  }
  const bool ends_before =
      head_->start < absl::InfiniteFuture() &&
      snapshot_.now + candidate.job->time_limit <= head_->start;
  if (ends_before) {
    if (Start(candidate, free_)) return Verdict::kStarts;
    now_.Add(gang, false);
    return PreemptBehindHead(candidate) ? Verdict::kPreempts : Verdict::kNoRoom;
  }
  if (!beyond_.TooLarge(gang)) {
    if (Start(candidate, Lesser(free_, head_->spare))) {
      Take(placements_.back(), gang.per_rank, &head_->spare);
      return Verdict::kStarts;
    }
    beyond_.Add(gang, false);
  }
  if (PreemptBehindHead(candidate)) return Verdict::kPreempts;
  // Which of the two it is only matters to who listens, and takes a look at all
  // nodes.
  const bool fits = listener_ && RanksIn(gang, free_) >= gang.ranks;
  return fits ? Verdict::kWouldDelay : Verdict::kNoRoom;
}

}  // namespace retort::scheduler
