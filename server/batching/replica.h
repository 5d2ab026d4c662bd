#ifndef RETORT_SERVER_BATCHING_REPLICA_H_
#define RETORT_SERVER_BATCHING_REPLICA_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "server/executor/worker_links.h"

namespace retort::batching {

// How replicas are brought up and given up.
struct ReplicaOptions {
  // From the start of the process to ReplicaReady; then it is killed, which
  // counts as a crash.
  absl::Duration ready_timeout = absl::Minutes(10);
  // A replica whose stream broke must be back by then, or it is killed.
  absl::Duration reattach_grace = absl::Seconds(10);
  // Pause before the first restart; doubles with each crash in a row.
  absl::Duration first_backoff = absl::Milliseconds(200);
  absl::Duration max_backoff = absl::Seconds(30);
  // After one more crash in a row than this the replica is FAILED.
  int max_restarts = 5;
  // A replica that was ready for so long begins to count anew.
  absl::Duration healthy_after = absl::Minutes(1);
  // Replicas that one request may be sent to, so that a request that crashes
  // every replica does not do so for ever.
  int max_attempts = 3;
};

// Returns the pause before the restart that follows the `crashes`-th crash in
// a row (from 1).
absl::Duration Backoff(const ReplicaOptions& options, int crashes);

// States of a replica:
//
//   WAITING -> STARTING -> READY <-> DETACHED
//      ^          |          |          |
//      +----------+----------+----------+--> FAILED
enum class ReplicaState {
  kWaiting,   // no process; one is started at `start_at`
  kStarting,  // loads its model
  kReady,     // answers
  kDetached,  // the process lives, but its stream broke or it is ending
  kFailed,    // crashed too often
};

// One replica. Plain data; DeploymentRuntime keeps it in order.
struct Replica {
  ReplicaState state = ReplicaState::kWaiting;
  // Incarnation of its process; 0 when there is none.
  int64_t epoch = 0;
  absl::Time since;     // when `state` began
  absl::Time start_at;  // kWaiting only
  absl::Time ready_at = absl::InfinitePast();
  bool killed = false;     // an end is on its way
  int crashes = 0;         // in a row
  std::string last_words;  // what the worker said of its own end
  std::string last_error;  // why the last process ended
  int64_t busy = 0;        // request that it works on
  int streams = 0;         // attached and not yet detached
  std::shared_ptr<executor::WorkerSession> session;
};

}  // namespace retort::batching

#endif  // RETORT_SERVER_BATCHING_REPLICA_H_
