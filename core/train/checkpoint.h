#ifndef RETORT_CORE_TRAIN_CHECKPOINT_H_
#define RETORT_CORE_TRAIN_CHECKPOINT_H_

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/run_dir.h"
#include "core/io/safetensors.h"

namespace retort::train {

inline constexpr int kCheckpointFormatVersion = 1;

// What a run needs to go on as if it had never stopped.
struct Checkpoint {
  int64_t step = 0;  // iterations done
  io::TensorMap tensors;
  nlohmann::json state;  // counters and the run's fingerprint
};

// The checkpoints of one job: <job>/checkpoints/00001234/ with
// tensors.safetensors and manifest.json (docs/formats.md).
//
// A checkpoint is written under another name, its manifest (with the SHA-256 of
// everything else) last, and renamed into place: a directory under its final
// name was whole when it was named. Loading verifies all of it and gives all or
// an error. Not thread-safe; one writer per job.
class CheckpointStore {
 public:
  // Receives one sentence for people, about something that was survived.
  using Warning = std::function<void(const std::string&)>;

  // Keeps the newest `keep` checkpoints (at least 1) after each Save().
  CheckpointStore(base::JobDir dir, int64_t keep, Warning warning);

  // Writes a checkpoint and then removes the oldest ones above the limit,
  // unless `remove_old` is false.
  // Returns its manifest. On an error (ResourceExhausted: the disk is full,
  // with the remedy; else those of core/base/file.h) nothing was replaced or
  // removed.
  absl::StatusOr<nlohmann::json> Save(const Checkpoint& checkpoint,
                                      bool remove_old = true);

  // Returns the newest whole checkpoint, nullopt if there is none at all. Each
  // damaged one that is passed over is told to the warning. DataLoss when there
  // are checkpoints and all are damaged. `good_only` passes over those whose
  // state says that they are not "good" (for a rollback), silently.
  absl::StatusOr<std::optional<Checkpoint>> LoadNewest(
      bool good_only = false) const;

  // Removes every checkpoint after `step`: they are of steps that the run has
  // taken back. Errors: those of core/base/file.h.
  absl::Status RemoveAfter(int64_t step);

  // Returns the checkpoint of a step. NotFound, or DataLoss with the file and
  // what is wrong with it.
  absl::StatusOr<Checkpoint> Load(int64_t step) const;

  // Returns <job>/checkpoints/<step>.
  std::string Path(int64_t step) const { return dir_.checkpoint_dir(step); }

 private:
  absl::StatusOr<nlohmann::json> WriteInto(const std::string& path,
                                           const Checkpoint& checkpoint) const;
  void RemoveOld() const;

  const base::JobDir dir_;
  const int64_t keep_;
  const Warning warning_;
};

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_CHECKPOINT_H_
