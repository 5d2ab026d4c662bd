#include "server/batching/sample_queue.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "server/base/error.h"

namespace retort::batching {

absl::Status SampleQueue::Admit(SampleEntry&& entry,
                                absl::Duration retry_after) {
  const int64_t samples = entry.request.samples();
  if (samples_ + samples > limits_.max_samples ||
      bytes_ + entry.bytes > limits_.max_bytes) {
    return service::WithRetryAfter(
        service::Error(
            absl::StatusCode::kResourceExhausted,
            v1::ERROR_REASON_LIMIT_EXCEEDED,
            absl::StrCat("the deployment's queue is full: ", samples_,
                         " samples (", bytes_, " bytes) wait, and ", samples,
                         " more (", entry.bytes, " bytes) do not fit below ",
                         limits_.max_samples, " samples and ",
                         limits_.max_bytes, " bytes; try again in ",
                         absl::FormatDuration(retry_after))),
        retry_after);
  }
  samples_ += samples;
  bytes_ += entry.bytes;
  const int64_t id = entry.id;
  waiting_.insert(KeyOf(entry));
  const bool fresh = entries_.emplace(id, std::move(entry)).second;
  RETORT_CHECK(fresh);
  return absl::OkStatus();
}

SampleEntry* SampleQueue::Next(absl::Time now) {
  if (waiting_.empty()) return nullptr;
  const int64_t id = std::get<2>(*waiting_.begin());
  waiting_.erase(waiting_.begin());
  SampleEntry& entry = entries_.at(id);
  entry.dispatched = now;
  ++entry.attempts;
  return &entry;
}

void SampleQueue::PutBack(int64_t id) {
  waiting_.insert(KeyOf(entries_.at(id)));
}

const SampleEntry* SampleQueue::Find(int64_t id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second;
}

SampleEntry SampleQueue::Take(int64_t id) {
  const auto found = entries_.find(id);
  RETORT_CHECK(found != entries_.end());
  SampleEntry entry = std::move(found->second);
  entries_.erase(found);
  waiting_.erase(KeyOf(entry));
  samples_ -= entry.request.samples();
  bytes_ -= entry.bytes;
  return entry;
}

std::vector<int64_t> SampleQueue::All() const {
  std::vector<int64_t> ids;
  for (const auto& [id, entry] : entries_) ids.push_back(id);
  return ids;
}

std::vector<int64_t> SampleQueue::Expired(absl::Time now) const {
  std::vector<int64_t> ids;
  for (const auto& [id, entry] : entries_) {
    if (entry.deadline <= now) ids.push_back(id);
  }
  return ids;
}

absl::Time SampleQueue::NextDeadline() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [id, entry] : entries_) {
    next = std::min(next, entry.deadline);
  }
  return next;
}

}  // namespace retort::batching
