#ifndef RETORT_SERVER_JOBS_JOB_FEED_H_
#define RETORT_SERVER_JOBS_JOB_FEED_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "retort/v1/job_service.pb.h"

namespace retort::jobs {

// Told that a job has something new. What it is, the watcher reads from the
// store (events from a number on; the progress), so that nothing is missed or
// told twice however calls interleave.
class JobWatcher {
 public:
  virtual ~JobWatcher() = default;
  // From any thread, with no lock held; must be quick.
  virtual void OnNews() = 0;
};

// Hears of each stored change of any job: that it is made, altered or gone.
// Not of progress.
class JobListener {
 public:
  virtual ~JobListener() = default;
  // From any thread, with no lock of the store held; must be quick.
  virtual void OnStored(const std::string& name) = 0;
};

// Who watches which job, and what is not stored of each, since it is replaced
// too often: its last progress, and how its processes do. Thread-safe.
class JobFeed {
 public:
  // `watcher` hears of `name` until it is destroyed or Unsubscribe.
  void Subscribe(const std::string& name, std::shared_ptr<JobWatcher> watcher);
  void Unsubscribe(const std::string& name, const JobWatcher* watcher);

  // Hears of all jobs until it is destroyed.
  void Listen(std::shared_ptr<JobListener> listener);

  // The job was stored, or removed.
  void Notify(const std::string& name);

  // Replaces the progress and tells who watches the job.
  void SetProgress(const std::string& name, const v1::JobProgress& progress);
  // Forgets it, and the gang: the job has no worker any more.
  void ClearProgress(const std::string& name);

  // A job's processes, by rank, and what their executor calls them.
  struct Gang {
    std::vector<v1::JobRank> ranks;
    std::string executor_id;
  };
  // Replaces it; nobody is notified: it changes all the time.
  void SetGang(const std::string& name, Gang gang);
  std::optional<Gang> GetGang(const std::string& name) const;

  struct Progress {
    v1::JobProgress progress;
    int64_t version = 0;  // grows with each SetProgress of the process
  };
  std::optional<Progress> GetProgress(const std::string& name) const;

 private:
  void TellWatchers(const std::string& name);

  mutable absl::Mutex mutex_;
  std::vector<std::weak_ptr<JobListener>> listeners_ ABSL_GUARDED_BY(mutex_);
  std::multimap<std::string, std::weak_ptr<JobWatcher>> watchers_
      ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Progress> progress_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Gang> gangs_ ABSL_GUARDED_BY(mutex_);
  int64_t version_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_JOB_FEED_H_
