#ifndef RETORT_TESTS_SUPPORT_FAKE_WEIGHTS_TOOL_H_
#define RETORT_TESTS_SUPPORT_FAKE_WEIGHTS_TOOL_H_

#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/base/file.h"
#include "server/registry/weights_tool.h"
#include "tests/support/model_files.h"

namespace retort::testing {

// Says of all weights what it is told to say, and converts any file to
// SmallWeights() and any model to its name for the folder. Thread-safe.
class FakeWeightsTool : public registry::WeightsTool {
 public:
  void Say(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    status_ = std::move(status);
  }
  // What the files that come are said to hold.
  void Hold(nlohmann::json network) {
    absl::MutexLock lock(&mutex_);
    network_ = std::move(network);
  }
  // The bytes of the file that was converted last.
  std::string converted() const {
    absl::MutexLock lock(&mutex_);
    return converted_;
  }

  absl::StatusOr<int64_t> Check(const std::string&) override {
    absl::MutexLock lock(&mutex_);
    if (!status_.ok()) return status_;
    return 77;
  }
  absl::StatusOr<nlohmann::json> Convert(const std::string& file,
                                         const std::string& weights) override {
    absl::MutexLock lock(&mutex_);
    if (!status_.ok()) return status_;
    converted_ = *base::ReadFile(file, 1 << 20);
    RETORT_CHECK_OK(base::AtomicWriteFile(weights, SmallWeights()));
    return network_;
  }
  absl::Status Export(const std::string& dir, const std::string& file,
                      std::function<bool()>) override {
    absl::MutexLock lock(&mutex_);
    if (!status_.ok()) {  // as a process that is killed half-way
      RETORT_CHECK_OK(base::AtomicWriteFile(file + ".tmp.1.0", "half"));
      return status_;
    }
    return base::AtomicWriteFile(file, "torch of " + dir);
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  nlohmann::json network_ ABSL_GUARDED_BY(mutex_);
  std::string converted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_FAKE_WEIGHTS_TOOL_H_
