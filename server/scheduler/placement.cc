#include "server/scheduler/placement.h"

#include <algorithm>
#include <tuple>

namespace retort::scheduler {
namespace {

// A node that can hold some ranks of a gang.
struct NodeChoice {
  int node;
  int ranks;
  Resources free;
};

// More ranks first; of equals the one that is left with the least.
bool RoomierFirst(const NodeChoice& a, const NodeChoice& b) {
  return std::tie(b.ranks, a.free.gpus, a.free.cpus, a.node) <
         std::tie(a.ranks, b.free.gpus, b.free.cpus, b.node);
}

bool EmptierFirst(const NodeChoice& a, const NodeChoice& b) {
  return std::tie(b.free.gpus, b.free.cpus, a.node) <
         std::tie(a.free.gpus, a.free.cpus, b.node);
}

bool FullerFirst(const NodeChoice& a, const NodeChoice& b) {
  return std::tie(a.ranks, a.free.gpus, a.free.cpus, a.node) <
         std::tie(b.ranks, b.free.gpus, b.free.cpus, b.node);
}

// The one of those with room for `ranks` that suits them best; end if none.
std::vector<NodeChoice>::iterator BestFor(
    int ranks, Packing packing, std::vector<NodeChoice>::iterator first,
    std::vector<NodeChoice>::iterator last) {
  auto best = last;
  for (auto it = first; it != last; ++it) {
    if (it->ranks < ranks) continue;
    const bool better =
        best == last || (packing == Packing::kTight ? FullerFirst(*it, *best)
                                                    : EmptierFirst(*it, *best));
    if (better) best = it;
  }
  return best;
}

bool SameShape(const Gang& a, const Gang& b) {
  return a.per_rank.gpus == b.per_rank.gpus &&
         a.per_rank.cpus == b.per_rank.cpus &&
         a.ranks_together == b.ranks_together &&
         a.max_ranks_per_node == b.max_ranks_per_node;
}

}  // namespace

Room FreeRoom(absl::Span<const Node> nodes) {
  Room room(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].usable) room[i] = nodes[i].free;
  }
  return room;
}

Room WholeRoom(absl::Span<const Node> nodes) {
  Room room(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) room[i] = nodes[i].total;
  return room;
}

int RanksOn(const Gang& gang, Resources free) {
  if (free.gpus < gang.per_rank.gpus || free.cpus < gang.per_rank.cpus) {
    return 0;
  }
  int ranks = gang.ranks;
  if (gang.max_ranks_per_node > 0) {
    ranks = std::min(ranks, gang.max_ranks_per_node);
  }
  if (gang.per_rank.gpus > 0) {
    ranks = std::min(ranks, free.gpus / gang.per_rank.gpus);
  }
  if (gang.per_rank.cpus > 0) {
    ranks = std::min(ranks, free.cpus / gang.per_rank.cpus);
  }
  return ranks - ranks % gang.ranks_together;
}

int64_t RanksIn(const Gang& gang, const Room& room) {
  int64_t ranks = 0;
  for (const Resources& free : room) ranks += RanksOn(gang, free);
  return ranks;
}

Placement Place(const Gang& gang, const Room& room, Packing packing) {
  std::vector<NodeChoice> candidates;
  int64_t fit = 0;
  int most = 0;
  for (size_t i = 0; i < room.size(); ++i) {
    const int ranks = RanksOn(gang, room[i]);
    if (ranks == 0) continue;
    fit += ranks;
    most = std::max(most, ranks);
    candidates.push_back({static_cast<int>(i), ranks, room[i]});
  }
  if (fit < gang.ranks) return {};
  Placement nodes;
  int left = gang.ranks;
  auto next = candidates.begin();
  auto sorted = next;
  while (left > 0) {
    const auto last = left > most
                          ? candidates.end()
                          : BestFor(left, packing, next, candidates.end());
    if (last != candidates.end()) {
      nodes.push_back({last->node, left});
      break;
    }
    // No node holds the rest: fill the roomiest. They are sorted a few at a
    // time, since a gang of many nodes is rare.
    if (next == sorted) {
      sorted += std::min<ptrdiff_t>(candidates.end() - sorted,
                                    1 + left / next->ranks);
      std::partial_sort(next, sorted, candidates.end(), RoomierFirst);
    }
    nodes.push_back({next->node, next->ranks});
    left -= next->ranks;
    ++next;
  }
  return nodes;
}

void Take(const Placement& nodes, Resources per_rank, Room* room) {
  for (const NodeRanks& at : nodes) {
    (*room)[at.node].gpus -= at.ranks * per_rank.gpus;
    (*room)[at.node].cpus -= at.ranks * per_rank.cpus;
  }
}

void PutBack(const Placement& nodes, Resources per_rank, Room* room) {
  for (const NodeRanks& at : nodes) {
    (*room)[at.node].gpus += at.ranks * per_rank.gpus;
    (*room)[at.node].cpus += at.ranks * per_rank.cpus;
  }
}

const FitMemo::Shape* FitMemo::Find(const Gang& gang) const {
  for (const Shape& shape : shapes_) {
    if (SameShape(shape.gang, gang)) return &shape;
  }
  return nullptr;
}

bool FitMemo::TooLarge(const Gang& gang) const {
  const Shape* shape = Find(gang);
  return shape != nullptr && gang.ranks >= shape->too_many;
}

bool FitMemo::Fits(const Gang& gang) const {
  const Shape* shape = Find(gang);
  return shape != nullptr && gang.ranks <= shape->fits;
}

void FitMemo::Add(const Gang& gang, bool fits) {
  if (Find(gang) == nullptr) shapes_.push_back({gang});
  auto* shape = const_cast<Shape*>(Find(gang));
  if (fits) {
    shape->fits = std::max(shape->fits, gang.ranks);
  } else {
    shape->too_many = std::min(shape->too_many, gang.ranks);
  }
}

}  // namespace retort::scheduler
