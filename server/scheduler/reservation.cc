#include "server/scheduler/reservation.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace retort::scheduler {
namespace {

// Gives back what a gang held on one node, less what is promised of it.
void GiveBack(const NodeRanks& at, Resources per_rank, Outlook* outlook) {
  const auto give = [](int amount, int* promised, int* free) {
    const int kept = std::min(amount, *promised);
    *promised -= kept;
    *free += amount - kept;
  };
  Resources& promised = outlook->promised[at.node];
  Resources& free = outlook->free[at.node];
  give(at.ranks * per_rank.gpus, &promised.gpus, &free.gpus);
  give(at.ranks * per_rank.cpus, &promised.cpus, &free.cpus);
}

}  // namespace

std::optional<Reservation> Reserve(const Gang& gang, absl::Time now,
                                   Outlook outlook, Packing packing) {
  int64_t fit = RanksIn(gang, outlook.free);
  std::vector<Release>& releases = outlook.releases;
  for (Release& release : releases) release.at = std::max(release.at, now);
  std::sort(releases.begin(), releases.end(),
            [](const Release& a, const Release& b) {
              return std::tie(a.at, a.seq) < std::tie(b.at, b.seq);
            });
  Reservation reservation;
  reservation.start = now;
  for (const Release& release : releases) {
    // What ends at the same time is there as well.
    const bool later =
        release.at > reservation.start || release.at == absl::InfiniteFuture();
    if (fit >= gang.ranks && later) break;
    for (const NodeRanks& at : *release.nodes) {
      if (!outlook.usable[at.node]) continue;
      const int before = RanksOn(gang, outlook.free[at.node]);
      GiveBack(at, release.per_rank, &outlook);
      fit += RanksOn(gang, outlook.free[at.node]) - before;
    }
    reservation.start = release.at;
  }
  if (fit < gang.ranks) return std::nullopt;
  reservation.nodes = Place(gang, outlook.free, packing);
  Take(reservation.nodes, gang.per_rank, &outlook.free);
  reservation.spare = std::move(outlook.free);
  return reservation;
}

}  // namespace retort::scheduler
