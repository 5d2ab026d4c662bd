#ifndef RETORT_SERVER_RPC_WORK_THREAD_H_
#define RETORT_SERVER_RPC_WORK_THREAD_H_

#include <deque>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace retort::rpc {

// A thread for work that takes seconds, so that no thread of gRPC's waits for
// it. Runs what it is given in order, one after another. The destructor runs
// what is still queued, then ends the thread. Thread-safe.
class WorkThread {
 public:
  WorkThread();
  ~WorkThread();
  WorkThread(const WorkThread&) = delete;
  WorkThread& operator=(const WorkThread&) = delete;

  void Schedule(std::function<void()> work) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasNews() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !queue_.empty();
  }

  absl::Mutex mutex_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_WORK_THREAD_H_
