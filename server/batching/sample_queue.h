#ifndef RETORT_SERVER_BATCHING_SAMPLE_QUEUE_H_
#define RETORT_SERVER_BATCHING_SAMPLE_QUEUE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "retort/v1/sampling_service.pb.h"

namespace retort::batching {

// How a request is answered: once, with no lock held, from any thread.
using SampleDone = std::function<void(absl::StatusOr<v1::SampleResponse>)>;

// A request that has been admitted.
struct SampleEntry {
  int64_t id = 0;  // grows in the order of arrival
  v1::SampleRequest request;
  int64_t bytes = 0;  // of its answer
  absl::Time arrival;
  absl::Time deadline = absl::InfiniteFuture();
  absl::Time dispatched;
  int attempts = 0;  // replicas that it was sent to
  SampleDone done;
};

struct QueueLimits {
  // Of what is admitted and not yet answered.
  int64_t max_samples = 16384;
  int64_t max_bytes = int64_t{512} << 20;
};

// Requests of one deployment from admission to answer: those that wait, in the
// order in which they are to run, and those that a replica works on. Higher
// priority first, then the earlier deadline, then the earlier arrival; a
// request that lost its replica keeps its place. Not thread-safe.
class SampleQueue {
 public:
  explicit SampleQueue(const QueueLimits& limits) : limits_(limits) {}

  // RESOURCE_EXHAUSTED (LIMIT_EXCEEDED, with RetryInfo of `retry_after`) when
  // full; the entry is then untouched.
  absl::Status Admit(SampleEntry&& entry, absl::Duration retry_after);

  // Marks the next waiting request as dispatched, and returns it; null if
  // none waits. Valid until the request leaves.
  SampleEntry* Next(absl::Time now);

  // Puts a dispatched request back to its place.
  void PutBack(int64_t id);

  // Null if there is no such request (any more).
  const SampleEntry* Find(int64_t id) const;

  // Takes a request out, wherever it is; it must be there.
  SampleEntry Take(int64_t id);

  // Ids of all requests, and of those whose deadline has passed.
  std::vector<int64_t> All() const;
  std::vector<int64_t> Expired(absl::Time now) const;
  absl::Time NextDeadline() const;

  bool empty() const { return entries_.empty(); }
  int64_t samples() const { return samples_; }

 private:
  using Key = std::tuple<int64_t, absl::Time, int64_t>;
  static Key KeyOf(const SampleEntry& entry) {
    return {-int64_t{entry.request.priority()}, entry.deadline, entry.id};
  }

  const QueueLimits limits_;
  std::map<int64_t, SampleEntry> entries_;
  std::set<Key> waiting_;
  int64_t samples_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace retort::batching

#endif  // RETORT_SERVER_BATCHING_SAMPLE_QUEUE_H_
