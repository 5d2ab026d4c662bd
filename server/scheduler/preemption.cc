#include "server/scheduler/preemption.h"

#include <algorithm>
#include <tuple>

namespace retort::scheduler {
namespace {

struct Victim {
  double lost;
  int64_t seq;
  int index;
};

// Changes the room by what the gang holds; returns by how much the ranks of
// `gang` that fit change.
template <typename Change>
int64_t ChangeRoom(const RunningGang& victim, const Gang& gang, Change change,
                   Hunt* hunt) {
  int64_t difference = 0;
  for (const NodeRanks& at : victim.nodes) {
    if (!hunt->nodes[at.node]) continue;
    const int before = RanksOn(gang, hunt->room[at.node]);
    change({at}, victim.per_rank, &hunt->room);
    difference += RanksOn(gang, hunt->room[at.node]) - before;
  }
  return difference;
}

}  // namespace

bool IsPrey(const RunningGang& gang, JobClass job_class, absl::Time now,
            const PolicyOptions& options) {
  return gang.preemptible && !gang.stopping && gang.job_class < job_class &&
         now - gang.start >= options.min_run;
}

double LostWork(const RunningGang& gang, absl::Time now,
                const PolicyOptions& options) {
  int ranks = 0;
  for (const NodeRanks& at : gang.nodes) ranks += at.ranks;
  const absl::Time since = std::max(gang.last_checkpoint, gang.start);
  return absl::ToDoubleSeconds(now - since) *
         Charge({ranks * gang.per_rank.gpus, ranks * gang.per_rank.cpus},
                options);
}

std::vector<int> ChooseVictims(const Candidate& candidate,
                               const Snapshot& snapshot, Hunt hunt,
                               const PolicyOptions& options) {
  const Gang& gang = candidate.job->gang;
  std::vector<Victim> victims;
  for (size_t i = 0; i < snapshot.running.size(); ++i) {
    const RunningGang& running = *snapshot.running[i];
    if (hunt.stopping[i] ||
        !IsPrey(running, candidate.job_class, snapshot.now, options)) {
      continue;
    }
    victims.push_back({LostWork(running, snapshot.now, options), running.seq,
                       static_cast<int>(i)});
  }
  std::sort(victims.begin(), victims.end(),
            [](const Victim& a, const Victim& b) {
              return std::tie(a.lost, a.seq) < std::tie(b.lost, b.seq);
            });
  int64_t fit = RanksIn(gang, hunt.room);
  size_t taken = 0;
  while (fit < gang.ranks && taken < victims.size()) {
    fit += ChangeRoom(*snapshot.running[victims[taken++].index], gang, PutBack,
                      &hunt);
  }
  if (fit < gang.ranks) return {};
  std::vector<int> chosen;
  for (size_t i = taken; i-- > 0;) {
    const RunningGang& victim = *snapshot.running[victims[i].index];
    const int64_t less = ChangeRoom(victim, gang, Take, &hunt);
    if (fit + less >= gang.ranks) {
      fit += less;
      continue;
    }
    ChangeRoom(victim, gang, PutBack, &hunt);
    chosen.push_back(victims[i].index);
  }
  std::reverse(chosen.begin(), chosen.end());
  return chosen;
}

absl::Time NextVictimAt(JobClass job_class, const Snapshot& snapshot,
                        const PolicyOptions& options) {
  absl::Time next = absl::InfiniteFuture();
  for (const RunningGang* gang : snapshot.running) {
    const absl::Time at = gang->start + options.min_run;
    if (at > snapshot.now && IsPrey(*gang, job_class, at, options)) {
      next = std::min(next, at);
    }
  }
  return next;
}

}  // namespace retort::scheduler
