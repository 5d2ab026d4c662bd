#ifndef RETORT_TESTS_SUPPORT_FAKE_EXECUTOR_H_
#define RETORT_TESTS_SUPPORT_FAKE_EXECUTOR_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/base/sha256.h"
#include "server/executor/executor.h"
#include "server/executor/worker_links.h"

namespace retort::testing {

// An executor without processes: remembers what was asked of it. A process
// "ends" when the test tells the listener so. Thread-safe.
class FakeExecutor : public executor::Executor {
 public:
  // With `links`, whom it has started may attach there.
  explicit FakeExecutor(executor::WorkerLinks* links = nullptr)
      : links_(links) {}

  std::string name() const override { return "fake"; }

  absl::StatusOr<executor::ProcessId> Start(
      const executor::ProcessSpec& spec) override {
    absl::MutexLock lock(&mutex_);
    if (!start_error_.ok()) return start_error_;
    started_.push_back(spec);
    if (links_ != nullptr) {
      links_->Expect(spec.subject, spec.epoch, base::Sha256Hex(spec.token));
    }
    return executor::ProcessId{1000 + static_cast<int64_t>(started_.size()), 7};
  }

  absl::Status Adopt(const std::string& subject, int64_t epoch,
                     const executor::ProcessId& process,
                     const std::string& token_sha256) override {
    absl::MutexLock lock(&mutex_);
    if (!alive_.count(process.pid)) return absl::NotFoundError("gone");
    adopted_.push_back({subject, epoch});
    if (links_ != nullptr) links_->Expect(subject, epoch, token_sha256);
    return absl::OkStatus();
  }

  void Terminate(const std::string& subject, int64_t epoch) override {
    absl::MutexLock lock(&mutex_);
    terminated_.push_back({subject, epoch});
  }
  void Kill(const std::string& subject, int64_t epoch) override {
    absl::MutexLock lock(&mutex_);
    killed_.push_back({subject, epoch});
  }

  using Incarnations = std::vector<std::pair<std::string, int64_t>>;

  // For the test.
  void SetStartError(absl::Status error) {
    absl::MutexLock lock(&mutex_);
    start_error_ = std::move(error);
  }
  void SetAlive(int64_t pid) {
    absl::MutexLock lock(&mutex_);
    alive_[pid] = true;
  }
  std::vector<executor::ProcessSpec> started() const {
    absl::MutexLock lock(&mutex_);
    return started_;
  }
  Incarnations adopted() const {
    absl::MutexLock lock(&mutex_);
    return adopted_;
  }
  Incarnations terminated() const {
    absl::MutexLock lock(&mutex_);
    return terminated_;
  }
  Incarnations killed() const {
    absl::MutexLock lock(&mutex_);
    return killed_;
  }

 private:
  executor::WorkerLinks* const links_;
  mutable absl::Mutex mutex_;
  absl::Status start_error_ ABSL_GUARDED_BY(mutex_);
  std::map<int64_t, bool> alive_ ABSL_GUARDED_BY(mutex_);
  std::vector<executor::ProcessSpec> started_ ABSL_GUARDED_BY(mutex_);
  Incarnations adopted_ ABSL_GUARDED_BY(mutex_);
  Incarnations terminated_ ABSL_GUARDED_BY(mutex_);
  Incarnations killed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_FAKE_EXECUTOR_H_
