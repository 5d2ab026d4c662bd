#ifndef RETORT_CORE_TRAIN_CHECKPOINT_H_
#define RETORT_CORE_TRAIN_CHECKPOINT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/run_dir.h"
#include "core/io/safetensors.h"
#include "core/train/fence.h"

namespace retort::train {

inline constexpr int kCheckpointFormatVersion = 1;

// What a run needs to go on as if it had never stopped.
struct Checkpoint {
  int64_t step = 0;  // iterations done
  io::TensorMap tensors;
  nlohmann::json state;  // counters and the run's fingerprint
};

// Which checkpoints stay: those that one of these wants.
struct Retention {
  int64_t newest = 2;  // at least 1
  int64_t every = 0;   // those whose step is a multiple of it; 0: none
  // So many with the lowest value of `metric`, as CheckpointMetric() has it.
  int64_t best = 0;
  std::string metric;
};

// A named number of a checkpoint, kept in its state for Retention::best.
void SetCheckpointMetric(const std::string& name, double value,
                         nlohmann::json* state);
// nullopt when the state has none of that name.
std::optional<double> CheckpointMetric(const nlohmann::json& state,
                                       const std::string& name);

// Returns the checkpoint in a folder, which may be another job's. NotFound, or
// DataLoss with the file and what is wrong with it; FailedPrecondition for a
// format that this program does not know.
absl::StatusOr<Checkpoint> LoadCheckpoint(const std::string& path);

// The checkpoints of one job: <job>/checkpoints/00001234/ with
// tensors.safetensors and manifest.json (docs/formats.md).
//
// A checkpoint is written under another name, its manifest (with the SHA-256 of
// everything else) last, and renamed into place; it is removed under another
// name too. So a directory under its final name is whole. Loading verifies all
// of it and gives all or an error. Not thread-safe; one writer per job, of
// which the fence makes sure.
class CheckpointStore {
 public:
  // Receives one sentence for people, about something that was survived.
  using Warning = std::function<void(const std::string&)>;

  CheckpointStore(base::JobDir dir, Retention retention, Warning warning,
                  Fence fence = {});

  // Once, before anything else; see SweepTemporaries().
  void Sweep() const { SweepTemporaries(fence_, dir_); }

  // Writes a checkpoint and then removes those that are not to be kept, unless
  // `remove_old` is false.
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
  void RemoveOld();
  // Of the checkpoints of these steps.
  std::set<int64_t> Best(const std::vector<int64_t>& steps);

  const base::JobDir dir_;
  const Retention retention_;
  const Warning warning_;
  const Fence fence_;
  // Of retention_.metric, by step; as far as it was looked up.
  std::map<int64_t, std::optional<double>> metrics_;
};

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_CHECKPOINT_H_
