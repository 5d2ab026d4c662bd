#ifndef RETORT_SERVER_SCHEDULER_PLANNER_H_
#define RETORT_SERVER_SCHEDULER_PLANNER_H_

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "server/scheduler/placement.h"
#include "server/scheduler/policy.h"
#include "server/scheduler/preemption.h"
#include "server/scheduler/queue_order.h"
#include "server/scheduler/quota_book.h"
#include "server/scheduler/reservation.h"
#include "server/scheduler/snapshot.h"

namespace retort::scheduler {

// What a decision has to say to one job.
enum class Verdict {
  kStarts,
  kNever,
  kNotBefore,   // its not_before has not come
  kQuota,       // its project is at a limit
  kNodesDown,   // it needs nodes that are drained or down
  kPreempts,    // gangs are asked to stop for it
  kPromised,    // gangs are stopping for it
  kHead,        // the first that waits for room; has the reservation
  kNoRoom,      // behind the head, and does not fit now either
  kWouldDelay,  // behind the head; would fit, but may delay it
};

// By what gangs that run are taken to end.
enum class Ends {
  kExpected,   // by their time limits, as decisions do
  kEstimated,  // by their own estimates, which nobody promises, if sooner
};

// One decision, step by step: Decide() and Explain() see through the same
// eyes. Use once; not thread-safe.
class Planner {
 public:
  using Listener = std::function<void(const Candidate&, Verdict)>;

  // `snapshot` outlives the planner. `listener` hears of each job looked at.
  Planner(const Snapshot& snapshot, const PolicyOptions& options,
          Listener listener = nullptr);

  Decision Run();

  // After Run(): the head of the queue and what is promised to it, if a job
  // waits for room.
  const std::optional<Reservation>& reservation() const { return head_; }
  // After Run(): the earliest start of a gang by the expected ends of what
  // runs or is about to, if nothing else starts; nothing if it does not fit
  // when all has ended.
  std::optional<Reservation> ReserveFor(const Gang& gang,
                                        Ends ends = Ends::kExpected) const;
  const QuotaBook& quotas() const { return quotas_; }

 private:
  Verdict Judge(const Candidate& candidate);
  // Why the job can never start; nothing, at little cost, for most.
  std::optional<std::string> Never(const Candidate& candidate);
  // On the fewest nodes of that room; false if it does not fit.
  bool Start(const Candidate& candidate, const Room& room);
  void StartOn(const Candidate& candidate, Placement nodes);
  // What becomes of a claim whose promise still holds; nothing if a node has
  // gone down.
  std::optional<Verdict> Redeem(const Candidate& candidate);
  // What becomes of one that does not fit, if none before it waits for room.
  Verdict Wait(const Candidate& candidate);
  Verdict Backfill(const Candidate& candidate);
  // Whether gangs are asked to stop for the candidate. Behind the head, only
  // for class HIGH, and the head's nodes are left alone.
  bool Preempt(const Candidate& candidate);
  bool PreemptBehindHead(const Candidate& candidate);
  // Where victims may be: not on the head's nodes.
  Hunt MakeHunt() const;
  // Sets aside the gang's place in what is free and what stopping gangs hold.
  void HoldOn(const Candidate& candidate, Placement nodes);
  // The gang holds these nodes from `start` on.
  const Placement& Commit(const Candidate& candidate, Placement nodes,
                          absl::Time start);
  // Whether the decision is as large as one may be.
  bool Full() const;
  void MarkStopping(int index);

  const Snapshot& snapshot_;
  const PolicyOptions options_;
  const Listener listener_;
  QueueOrder order_;
  QuotaBook quotas_;
  Decision decision_;
  int preemptors_ = 0;

  std::vector<bool> usable_;    // by node
  std::vector<bool> stopping_;  // by running gang; victims of this decision too
  Room free_;
  // What stopping gangs hold: still to be promised, and promised.
  Room stopping_room_;
  Room promised_;
  std::deque<Placement> placements_;  // of what starts or is promised
  std::vector<Release> releases_;     // of these

  std::optional<Reservation> head_;
  // Behind the head: what is free, and what a job that may run beyond the
  // head's start can have.
  FitMemo now_;
  FitMemo beyond_;
  FitMemo with_prey_;  // and all that may be asked to stop
  FitMemo whole_;      // the nodes when empty
  FitMemo usable_whole_;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_PLANNER_H_
