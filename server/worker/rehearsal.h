#ifndef RETORT_SERVER_WORKER_REHEARSAL_H_
#define RETORT_SERVER_WORKER_REHEARSAL_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/data/dataset.h"
#include "core/train/train_options.h"
#include "core/train/trainer.h"

namespace retort::worker {

// A training task that takes one step of its own network on made-up images,
// writes nothing, and says how long the step took. A task whose context has one
// is rehearsed instead of run; all else is as in the real run.
struct Rehearsal {
  // Of the made-up images.
  int64_t resolution = 0;
  int64_t channels = 0;
  int64_t classes = 0;

  absl::Duration step;  // the result
};

// As many images as a step takes; their pixels are random.
absl::StatusOr<std::unique_ptr<data::Dataset>> MakeUpImages(
    const Rehearsal& rehearsal, int64_t count);

// Takes the step. CTM's is one with the mean number of teacher steps, as far
// as there is one among the first thousand. A step that took less than two
// seconds is followed by a second one, which counts: the first one also waits
// for memory. Errors: those of Trainer::MeasureStep.
absl::Status Rehearse(const train::TrainOptions& options,
                      train::Trainer* trainer, Rehearsal* rehearsal);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_REHEARSAL_H_
