#include "server/worker/rehearsal.h"

#include <cmath>
#include <cstdlib>
#include <utility>

#include "core/base/status_macros.h"
#include "core/data/tensor_dataset.h"
#include "core/distill/ctm_loss.h"

namespace retort::worker {
namespace {

constexpr absl::Duration kLongStep = absl::Seconds(2);

// A step of CTM whose number of teacher steps is the nearest to the mean.
int64_t MeanStep(const train::TrainOptions& options) {
  if (options.method != train::Method::kCtm) return 0;
  const double n = static_cast<double>(options.ctm.max_ode_steps);
  // E k = sum k^2 / sum k with weights k, (1 + n) / 2 without.
  const int64_t mean = std::lround(
      options.ctm.weight_steps_by_k ? (2 * n + 1) / 3 : (n + 1) / 2);
  const distill::CtmLoss loss(options.ctm, nullptr);
  int64_t best = 0;
  int64_t best_distance = options.ctm.max_ode_steps;
  for (int64_t step = 0; step < 1000 && best_distance > 0; ++step) {
    const int64_t k = loss.Draw(options.seed, step, {0}, {1, 1, 1}).ode_steps;
    if (std::abs(k - mean) >= best_distance) continue;
    best = step;
    best_distance = std::abs(k - mean);
  }
  return best;
}

}  // namespace

absl::StatusOr<std::unique_ptr<data::Dataset>> MakeUpImages(
    const Rehearsal& rehearsal, int64_t count) {
  at::Tensor images = at::randint(
      0, 256,
      {count, rehearsal.channels, rehearsal.resolution, rehearsal.resolution},
      at::kByte);
  at::Tensor labels;
  if (rehearsal.classes > 0) {
    labels = at::arange(count, at::kLong).remainder(rehearsal.classes);
  }
  return data::TensorDataset::Create("made-up images", std::move(images),
                                     std::move(labels), rehearsal.classes);
}

absl::Status Rehearse(const train::TrainOptions& options,
                      train::Trainer* trainer, Rehearsal* rehearsal) {
  const int64_t step = MeanStep(options);
  RETORT_ASSIGN_OR_RETURN(rehearsal->step, trainer->MeasureStep(step));
  if (rehearsal->step < kLongStep) {
    RETORT_ASSIGN_OR_RETURN(rehearsal->step, trainer->MeasureStep(step));
  }
  return absl::OkStatus();
}

}  // namespace retort::worker
