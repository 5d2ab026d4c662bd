#ifndef RETORT_CORE_TRAIN_PROGRESS_H_
#define RETORT_CORE_TRAIN_PROGRESS_H_

#include <atomic>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/time/time.h"
#include "core/train/objective.h"

namespace retort::train {

// What a run says every TrainOptions::log_every steps, and at its end.
struct Tick {
  int64_t step = 0;  // iterations done, of `iterations`
  int64_t iterations = 0;
  int64_t images = 0;   // seen since the run's very beginning
  int64_t skipped = 0;  // steps left out for non-finite numbers
  // Means since the last tick, of the steps that were not skipped: the
  // objective's, "gradient_norm" (before clipping) and "learning_rate";
  // "gradient_clipped", the share of steps that were, if there is a bound.
  Metrics metrics;
  double images_per_second = 0;  // since the last tick
  absl::Duration remaining;      // at that speed
};

// Hears how a run goes. Called on the training thread, between steps; what it
// takes, the run waits. Of several ranks, OnStep() and OnActivity() are called
// on each and the others on rank 0 alone.
class ProgressListener {
 public:
  virtual ~ProgressListener() = default;

  virtual void OnTick(const Tick& tick) {}

  // So many iterations are done.
  virtual void OnStep(int64_t step) {}

  // What the thread is at from now on: "loading data", "training",
  // "all-reduce", "checkpoint", "validation", "waiting for rank 0". `waiting`:
  // it waits for other ranks, and can do nothing about it.
  virtual void OnActivity(const char* activity, bool waiting) {}

  // `directory` holds a whole checkpoint; `manifest` is its manifest.json. Said
  // at the first step's end after it was written.
  virtual void OnCheckpoint(int64_t step, const std::string& directory,
                            const nlohmann::json& manifest) {}

  // TrainParts::validate measured the averages of the weights after `step`.
  virtual void OnValidation(int64_t step, const Metrics& metrics) {}

  // Something went wrong and the run goes on: a checkpoint that could not be
  // written, one that could not be read, a skipped step (but for those that a
  // loss scale finds its place by, which are logged alone).
  virtual void OnWarning(const std::string& message) {}
};

// What others want of a run. Lock-free; set from any thread or a signal
// handler, read before every step. Of several ranks it is enough to tell one:
// all stop at the same step.
struct ControlFlags {
  std::atomic<bool> pause{false};  // write a checkpoint and end as kPaused
  std::atomic<bool> checkpoint_now{false};  // taken back when it is written
};

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_PROGRESS_H_
