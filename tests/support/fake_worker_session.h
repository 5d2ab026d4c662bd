#ifndef RETORT_TESTS_SUPPORT_FAKE_WORKER_SESSION_H_
#define RETORT_TESTS_SUPPORT_FAKE_WORKER_SESSION_H_

#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/executor/worker_links.h"

namespace retort::testing {

// A worker's stream that keeps what the server sends. Thread-safe.
class FakeWorkerSession : public executor::WorkerSession {
 public:
  void Send(internal::v1::AttachResponse response) override {
    absl::MutexLock lock(&mutex_);
    sent_.push_back(std::move(response));
  }
  void Close(const absl::Status& status) override {
    absl::MutexLock lock(&mutex_);
    closed_ = status;
  }

  std::vector<internal::v1::AttachResponse> sent() const {
    absl::MutexLock lock(&mutex_);
    return sent_;
  }
  // The sampling messages among them.
  std::vector<internal::v1::SampleTask> tasks() const {
    absl::MutexLock lock(&mutex_);
    std::vector<internal::v1::SampleTask> tasks;
    for (const auto& message : sent_) {
      if (message.has_sample()) tasks.push_back(message.sample());
    }
    return tasks;
  }
  std::optional<absl::Status> closed() const {
    absl::MutexLock lock(&mutex_);
    return closed_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<internal::v1::AttachResponse> sent_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> closed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_FAKE_WORKER_SESSION_H_
