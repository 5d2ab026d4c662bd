#ifndef RETORT_CORE_TRAIN_RUN_CHECKPOINTS_H_
#define RETORT_CORE_TRAIN_RUN_CHECKPOINTS_H_

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/comm/communicator.h"
#include "core/train/checkpoint.h"
#include "core/train/checkpoint_writer.h"
#include "core/train/progress.h"
#include "core/train/train_state.h"

namespace retort::train {

// Takes one run's state to its checkpoints and back. Of several ranks, rank 0
// alone reads and writes, and the others get from it what it read and how it
// went: they need no files. Every method is called on all ranks at the same
// point, and returns the same on all; but TrySave() and Poll(), which do
// nothing on other ranks. For the training thread; lets comm::LostContact
// through.
class RunCheckpoints {
 public:
  // Nothing is owned; all outlive this.
  struct Parts {
    TrainState* state = nullptr;
    comm::Communicator* comm = nullptr;
    ProgressListener* listener = nullptr;  // may be null
    nlohmann::json fingerprint;
    // Folder of a checkpoint to begin with while there are none of this run;
    // empty: from the beginning.
    std::string start_from;
    CheckpointStore::Warning warn;
    Fence fence;
    base::Clock* clock = nullptr;
  };

  RunCheckpoints(base::JobDir dir, const Retention& retention, Parts parts);

  // Brings the state to the newest whole checkpoint; without any, to
  // start_from's, or leaves it as rank 0 has it. Returns whether there was one
  // of this run. Errors: those of CheckpointStore and TrainState;
  // FailedPrecondition when a rank has other settings or data than rank 0.
  absl::StatusOr<bool> Restore();

  // Back to the newest checkpoint that is good for it; Counters::rollbacks
  // never shrinks. Returns false if there is none, with the state untouched.
  // Once the counters say how to go on, SaveRolledBack() removes later
  // checkpoints and saves this one again; that it could not write is a warning.
  absl::StatusOr<bool> GoBack();
  absl::Status SaveRolledBack();

  // Begins to write the present state; if the one before is still being
  // written, waits for it. None is left out: which checkpoints there are, and
  // with them what a rollback leads to, must not hang on how fast the disk is.
  // A failure is a warning, said by Poll() or the next call of any method.
  void TrySave(bool good, bool remove_old);

  // Tells the listener of a checkpoint that has been written meanwhile.
  void Poll();

  // Writes the present state, unless that was done, and returns when it is on
  // the disk. Errors: rank 0's.
  absl::Status Save(bool good, bool remove_old);

  // Makes rank 0's status that of all ranks.
  absl::Status Share(const absl::Status& status);

  // A number that Retention::best may want.
  void SetMetric(const std::string& name, double value);

  // Step of the newest checkpoint, -1 before the first.
  int64_t saved_step() const { return saved_step_; }
  // Step that this run began with, where another one's checkpoint stands.
  int64_t first_step() const { return first_step_; }

 private:
  Checkpoint Present(bool good) const;
  absl::StatusOr<bool> LoadOrBegin();
  absl::StatusOr<bool> LoadGood();
  // What rank 0 found, and with it the state.
  absl::StatusOr<bool> Distribute(const absl::StatusOr<bool>& found);
  void Finished(const CheckpointWriter::Written& written);
  void Settle();
  void Tell(int64_t step, const nlohmann::json& manifest);
  void WarnOfFailure(const absl::Status& status) const;
  // Once, if the one under way takes so long that training has to wait for it.
  void WarnOfSlowness();
  void TellWarnings();

  const Parts parts_;
  const Retention retention_;
  absl::Mutex mutex_;
  std::vector<std::string> warnings_ ABSL_GUARDED_BY(mutex_);  // to be told
  CheckpointStore store_;
  CheckpointWriter writer_;
  absl::Time write_began_;  // of the one under way
  bool told_of_waiting_ = false;
  int64_t saved_step_ = -1;
  int64_t first_step_ = 0;
  std::optional<double> metric_;  // of retention_.metric, the newest
};

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_RUN_CHECKPOINTS_H_
