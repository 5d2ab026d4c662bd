#ifndef RETORT_TESTS_SERVER_WORKER_FAKE_OUTBOX_H_
#define RETORT_TESTS_SERVER_WORKER_FAKE_OUTBOX_H_

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "server/worker/outbox.h"

namespace retort::worker {

// Keeps what tasks say. Thread-safe while used; read the lists afterwards.
class FakeOutbox : public Outbox {
 public:
  void SetStep(int64_t step) override { step_ = step; }
  void SetActivity(const char* activity, bool waiting) override {
    absl::MutexLock lock(&mutex_);
    ++signs_of_life[activity];
    if (on_activity) on_activity(activity);
    const std::pair<std::string, bool> now = {activity, waiting};
    if (activities.empty() || activities.back() != now) {
      activities.push_back(now);
    }
  }
  void SendRendezvous(const internal::v1::Rendezvous& r) override {
    absl::MutexLock lock(&mutex_);
    rendezvous.push_back(r);
    if (on_rendezvous) on_rendezvous(r);
  }
  void SendProgress(const internal::v1::Progress& p) override {
    absl::MutexLock lock(&mutex_);
    progress.push_back(p);
  }
  void SendCheckpoint(const internal::v1::CheckpointWritten& c) override {
    absl::MutexLock lock(&mutex_);
    checkpoints.push_back(c);
  }
  void SendWarning(const std::string& message) override {
    absl::MutexLock lock(&mutex_);
    warnings.push_back(message);
  }
  void SendReady(const internal::v1::ReplicaReady& r) override {
    absl::MutexLock lock(&mutex_);
    ready.push_back(r);
  }
  void SendAnswer(internal::v1::SampleAnswer answer) override {
    absl::MutexLock lock(&mutex_);
    answers.push_back(std::move(answer));
  }

  int64_t step() const { return step_; }

  std::function<void(const internal::v1::Rendezvous&)> on_rendezvous;
  std::function<void(const std::string&)> on_activity;
  // Each once for as long as it lasts.
  std::vector<std::pair<std::string, bool>> activities;
  // How often each was said.
  std::map<std::string, int> signs_of_life;
  std::vector<internal::v1::Rendezvous> rendezvous;
  std::vector<internal::v1::Progress> progress;
  std::vector<internal::v1::CheckpointWritten> checkpoints;
  std::vector<std::string> warnings;
  std::vector<internal::v1::ReplicaReady> ready;
  std::vector<internal::v1::SampleAnswer> answers;

 private:
  std::atomic<int64_t> step_{0};
  absl::Mutex mutex_;
};

}  // namespace retort::worker

#endif  // RETORT_TESTS_SERVER_WORKER_FAKE_OUTBOX_H_
