#ifndef RETORT_SERVER_WORKER_PERCEPTUAL_DISTANCE_H_
#define RETORT_SERVER_WORKER_PERCEPTUAL_DISTANCE_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "core/distill/distance.h"
#include "retort/v1/spec.pb.h"
#include "server/worker/task.h"

namespace retort::worker {

// LPIPS with the weights of the models that `spec` names, for images of side
// `side`. Sets `options` to what is done to the images before, with the hashes
// of the weights. Errors: those of TaskContext::ModelDir, io::ReadModelDir and
// distill::Lpips::Create, with the model's name.
absl::StatusOr<std::shared_ptr<const distill::Distance>> LoadPerceptual(
    const TaskContext& context, const v1::LpipsSpec& spec, int64_t side,
    distill::DistanceOptions* options);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_PERCEPTUAL_DISTANCE_H_
