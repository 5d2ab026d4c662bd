#ifndef RETORT_SERVER_SCHEDULER_PLACEMENT_H_
#define RETORT_SERVER_SCHEDULER_PLACEMENT_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "server/scheduler/policy.h"
#include "server/scheduler/snapshot.h"

namespace retort::scheduler {

// What each node has free, by index of the node.
using Room = std::vector<Resources>;

// What is free now, and all that the nodes have when empty. Unusable nodes
// have nothing free.
Room FreeRoom(absl::Span<const Node> nodes);
Room WholeRoom(absl::Span<const Node> nodes);

// Ranks of the gang that a node with so much free can hold, at most all of
// them; a multiple of ranks_together.
int RanksOn(const Gang& gang, Resources free);

// Ranks that all nodes together can hold, each node at most the whole gang.
int64_t RanksIn(const Gang& gang, const Room& room);

// The nodes for a whole gang, or nothing if there is no room for all of it.
// As few nodes as there can be: those with the most room for its ranks, and
// for the last ranks the node that they fill best (kSpread: worst).
Placement Place(const Gang& gang, const Room& room, Packing packing);

// Takes what the ranks need out of the room, and puts it back.
void Take(const Placement& nodes, Resources per_rank, Room* room);
void PutBack(const Placement& nodes, Resources per_rank, Room* room);

// Remembers which gangs a room has had place for. A queue is full of jobs
// alike, and to look at all nodes for each of them would be most of a
// decision's time. TooLarge() holds while the room only shrinks, Fits() while
// it only grows.
class FitMemo {
 public:
  bool TooLarge(const Gang& gang) const;
  bool Fits(const Gang& gang) const;
  void Add(const Gang& gang, bool fits);

 private:
  struct Shape {
    Gang gang;
    int fits = 0;  // the most ranks known to fit
    int too_many = std::numeric_limits<int>::max();  // the fewest that did not
  };
  const Shape* Find(const Gang& gang) const;

  std::vector<Shape> shapes_;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_PLACEMENT_H_
