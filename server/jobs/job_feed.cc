#include "server/jobs/job_feed.h"

#include <algorithm>
#include <utility>

namespace retort::jobs {

void JobFeed::Subscribe(const std::string& name,
                        std::shared_ptr<JobWatcher> watcher) {
  absl::MutexLock lock(&mutex_);
  watchers_.emplace(name, watcher);
}

void JobFeed::Unsubscribe(const std::string& name, const JobWatcher* watcher) {
  // Released after the lock: the last owner may be one of these.
  std::vector<std::shared_ptr<JobWatcher>> keep;
  absl::MutexLock lock(&mutex_);
  auto [it, end] = watchers_.equal_range(name);
  while (it != end) {
    keep.push_back(it->second.lock());
    const bool gone = keep.back() == nullptr || keep.back().get() == watcher;
    it = gone ? watchers_.erase(it) : std::next(it);
  }
}

void JobFeed::Listen(std::shared_ptr<JobListener> listener) {
  absl::MutexLock lock(&mutex_);
  listeners_.erase(
      std::remove_if(listeners_.begin(), listeners_.end(),
                     [](const auto& other) { return other.expired(); }),
      listeners_.end());
  listeners_.push_back(listener);
}

void JobFeed::Notify(const std::string& name) {
  std::vector<std::shared_ptr<JobListener>> listeners;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& weak : listeners_) {
      if (auto listener = weak.lock()) listeners.push_back(std::move(listener));
    }
  }
  for (const auto& listener : listeners) listener->OnStored(name);
  TellWatchers(name);
}

void JobFeed::TellWatchers(const std::string& name) {
  std::vector<std::shared_ptr<JobWatcher>> watchers;
  {
    absl::MutexLock lock(&mutex_);
    auto [it, end] = watchers_.equal_range(name);
    for (; it != end; ++it) {
      if (auto watcher = it->second.lock()) {
        watchers.push_back(std::move(watcher));
      }
    }
  }
  for (const auto& watcher : watchers) watcher->OnNews();
}

void JobFeed::SetProgress(const std::string& name,
                          const v1::JobProgress& progress) {
  {
    absl::MutexLock lock(&mutex_);
    progress_[name] = Progress{progress, ++version_};
  }
  TellWatchers(name);
}

void JobFeed::ClearProgress(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  progress_.erase(name);
  gangs_.erase(name);
}

void JobFeed::SetGang(const std::string& name, Gang gang) {
  absl::MutexLock lock(&mutex_);
  gangs_[name] = std::move(gang);
}

std::optional<JobFeed::Gang> JobFeed::GetGang(const std::string& name) const {
  absl::MutexLock lock(&mutex_);
  const auto found = gangs_.find(name);
  if (found == gangs_.end()) return std::nullopt;
  return found->second;
}

std::optional<JobFeed::Progress> JobFeed::GetProgress(
    const std::string& name) const {
  absl::MutexLock lock(&mutex_);
  const auto found = progress_.find(name);
  if (found == progress_.end()) return std::nullopt;
  return found->second;
}

}  // namespace retort::jobs
