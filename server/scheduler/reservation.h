#ifndef RETORT_SERVER_SCHEDULER_RESERVATION_H_
#define RETORT_SERVER_SCHEDULER_RESERVATION_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "server/scheduler/placement.h"

namespace retort::scheduler {

// When a gang gives back its nodes.
struct Release {
  absl::Time at;  // infinite: nobody knows
  int64_t seq = 0;
  const Placement* nodes = nullptr;
  Resources per_rank;
};

// What the nodes have now and will have.
struct Outlook {
  Room free;
  // Of what is given back, this much on each node is promised already.
  Room promised;
  std::vector<bool> usable;  // nodes that are not give nothing back
  std::vector<Release> releases;
};

// The promise to the job at the head of the queue (EASY backfilling, Lifka,
// "The ANL/IBM SP scheduling system", 1995; here with nodes, not a count).
struct Reservation {
  // By the expected ends, it fits from here on. Infinite: gangs whose end
  // nobody knows must end first.
  absl::Time start;
  Placement nodes;
  // What each node has at `start` beside that. A job that may run beyond
  // `start` takes of this alone; one that ends before may take all there is.
  Room spare;
};

// The earliest start of the gang if nothing else starts; nothing if it does
// not fit when all has ended (nodes are drained or down). Gangs that overrun
// their end are taken to end now; those without one end last, in order of
// `seq`.
std::optional<Reservation> Reserve(const Gang& gang, absl::Time now,
                                   Outlook outlook, Packing packing);

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_RESERVATION_H_
