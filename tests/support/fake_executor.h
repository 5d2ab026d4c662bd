#ifndef RETORT_TESTS_SUPPORT_FAKE_EXECUTOR_H_
#define RETORT_TESTS_SUPPORT_FAKE_EXECUTOR_H_

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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
  bool has_queue() const override {
    absl::MutexLock lock(&mutex_);
    return has_queue_;
  }

  // Handles are "fake 1", "fake 2", ... in the order of the starts.
  absl::StatusOr<std::string> Start(const executor::GangSpec& spec) override {
    absl::MutexLock lock(&mutex_);
    if (!start_error_.ok()) return start_error_;
    started_.push_back(spec);
    if (links_ != nullptr) {
      links_->Expect(spec.subject, spec.epoch, base::Sha256Hex(spec.token));
    }
    return absl::StrCat("fake ", started_.size());
  }

  absl::StatusOr<std::string> Adopt(const std::string& subject, int64_t epoch,
                                    const std::string& handle,
                                    const std::string& token_sha256) override {
    absl::MutexLock lock(&mutex_);
    if (!handle.empty() && !absl::StartsWith(handle, "fake ")) {
      return absl::FailedPreconditionError(
          absl::StrCat("its processes are known as ", handle));
    }
    const bool searched = handle.empty() && !alive_.empty();
    const std::string found = searched ? *alive_.begin() : handle;
    if (!alive_.count(found)) return absl::NotFoundError("gone");
    adopted_.push_back({subject, epoch});
    if (links_ != nullptr) links_->Expect(subject, epoch, token_sha256);
    return found;
  }

  void Terminate(const std::string& subject, int64_t epoch) override {
    absl::MutexLock lock(&mutex_);
    terminated_.push_back({subject, epoch});
  }
  void Kill(const std::string& subject, int64_t epoch) override {
    absl::MutexLock lock(&mutex_);
    killed_.push_back({subject, epoch});
  }

  std::vector<executor::NodeInfo> Nodes() override {
    absl::MutexLock lock(&mutex_);
    return nodes_;
  }
  std::string DisplayId(const std::string& handle) const override {
    return handle;
  }
  void Shutdown() override {}

  using Incarnations = std::vector<std::pair<std::string, int64_t>>;

  // For the test.
  void SetHasQueue(bool has_queue) {
    absl::MutexLock lock(&mutex_);
    has_queue_ = has_queue;
  }
  void SetStartError(absl::Status error) {
    absl::MutexLock lock(&mutex_);
    start_error_ = std::move(error);
  }
  // Default: one node, "fake", with two CPU slots.
  void SetNodes(std::vector<executor::NodeInfo> nodes) {
    absl::MutexLock lock(&mutex_);
    nodes_ = std::move(nodes);
  }
  // A later Adopt() of this handle, or of none, finds it.
  void SetAlive(const std::string& handle) {
    absl::MutexLock lock(&mutex_);
    alive_.insert(handle);
  }
  std::vector<executor::GangSpec> started() const {
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
  bool has_queue_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status start_error_ ABSL_GUARDED_BY(mutex_);
  std::vector<executor::NodeInfo> nodes_ ABSL_GUARDED_BY(mutex_) = {
      {"fake", 2, 0}};
  std::set<std::string> alive_ ABSL_GUARDED_BY(mutex_);
  std::vector<executor::GangSpec> started_ ABSL_GUARDED_BY(mutex_);
  Incarnations adopted_ ABSL_GUARDED_BY(mutex_);
  Incarnations terminated_ ABSL_GUARDED_BY(mutex_);
  Incarnations killed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_FAKE_EXECUTOR_H_
