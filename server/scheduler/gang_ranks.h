#ifndef RETORT_SERVER_SCHEDULER_GANG_RANKS_H_
#define RETORT_SERVER_SCHEDULER_GANG_RANKS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "retort/internal/v1/worker.pb.h"
#include "retort/v1/job_service.pb.h"
#include "server/executor/worker_links.h"

namespace retort::scheduler {

struct HangOptions {
  // A rank that is attached and has not been heard of for so long hangs. Ranks
  // beat every two seconds.
  absl::Duration silence = absl::Seconds(30);
  // So does one whose task has been at the same thing for so long without
  // waiting for other ranks, or all ranks have been waiting for each other.
  // Long, since a thing may be the reading of a large data set.
  absl::Duration stall = absl::Minutes(30);
};

// The ranks of a gang as the server knows them: their streams, what they were
// told, and when they were last heard of. Decides which of them hangs. Not
// thread-safe; does no I/O but to send.
class GangRanks {
 public:
  // `assigned`: the gang comes from an earlier server and has been at work.
  explicit GangRanks(int count = 1, bool assigned = false);

  int count() const { return static_cast<int>(ranks_.size()); }
  bool Has(int rank) const { return rank >= 0 && rank < count(); }

  void Attach(const internal::v1::Hello& hello,
              std::shared_ptr<executor::WorkerSession> session, absl::Time now);
  void Detach(int rank) { ranks_[rank].session.reset(); }
  // Any message is a sign of life; heartbeats and progress say more.
  void Hear(int rank, const internal::v1::AttachRequest& message,
            absl::Time now);

  // Its stream; null while there is none.
  executor::WorkerSession* session(int rank) const {
    return ranks_[rank].session.get();
  }
  // It has said its last word.
  void SetEnded(int rank) { ranks_[rank].ended = true; }
  void SetAssigned(int rank) { ranks_[rank].assigned = true; }
  // Attached ranks that still need an assignment, rank 0 first.
  std::vector<int> Unassigned() const;

  bool AnyAttached() const;
  // Each is attached or has said its last word.
  bool AllPresent() const;
  // Each knows what it is for, so that the gang may be at work.
  bool AllAssigned() const;
  void SendToAll(const internal::v1::AttachResponse& response) const;

  // "rank 1 on node-a (pid 17)".
  std::string Describe(int rank) const;
  // Who hangs, and how that shows: "rank 1 on node-a (pid 17) has not been
  // heard of for 31 s; last at step 41, in "training"". Nothing if nobody does.
  std::optional<std::string> FindHanging(const HangOptions& options,
                                         absl::Time now) const;
  // When FindHanging may find somebody at the earliest.
  absl::Time NextHang(const HangOptions& options) const;
  // Nobody could be heard for a while, through no fault of theirs.
  void RestartClocks(absl::Time now);

  std::vector<v1::JobRank> ToMessages() const;

 private:
  struct Rank {
    std::shared_ptr<executor::WorkerSession> session;
    bool assigned = false;
    bool ended = false;
    std::string node;
    int64_t pid = 0;
    absl::Time heard = absl::InfinitePast();
    int64_t step = 0;
    std::string activity;  // empty: it does not say
    absl::Time active_since = absl::InfinitePast();
    bool waiting = false;
  };

  // When it will have been silent, or at one thing, for too long.
  static absl::Time SilentAt(const HangOptions& options, const Rank& rank);
  static absl::Time StalledAt(const HangOptions& options, const Rank& rank);
  // When all will have been waiting for each other for too long.
  absl::Time DeadlockedAt(const HangOptions& options) const;

  std::vector<Rank> ranks_;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_GANG_RANKS_H_
