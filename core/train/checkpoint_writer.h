#ifndef RETORT_CORE_TRAIN_CHECKPOINT_WRITER_H_
#define RETORT_CORE_TRAIN_CHECKPOINT_WRITER_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/io/safetensors.h"
#include "core/train/checkpoint.h"

namespace retort::train {

// Writes checkpoints while training goes on: what the training waits for is a
// copy of the tensors in host memory; a thread of its own writes, hashes and
// renames. One at a time. The copy's memory is kept for the next one.
//
// For one thread; the store must not be used by others between Start() and
// what Take() or Wait() return.
class CheckpointWriter {
 public:
  // What became of a checkpoint.
  struct Written {
    int64_t step = 0;
    absl::StatusOr<nlohmann::json> manifest;  // of the store's Save()
  };

  // `store` is not owned and outlives this.
  explicit CheckpointWriter(CheckpointStore* store) : store_(store) {}
  // Waits until the last one is written.
  ~CheckpointWriter();

  // Copies and begins to write. There must be none under way.
  void Start(const Checkpoint& checkpoint, bool remove_old);

  // Whether one was started and not yet taken back, and of which step.
  std::optional<int64_t> under_way() const { return step_; }

  // Returns what became of the one under way, if it is done; Wait() when it
  // is, and nullopt only if there is none.
  std::optional<Written> Take();
  std::optional<Written> Wait();

 private:
  CheckpointStore* const store_;
  io::TensorMap copy_;
  std::optional<int64_t> step_;
  std::thread thread_;

  absl::Mutex mutex_;
  std::optional<Written> written_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_CHECKPOINT_WRITER_H_
