#ifndef RETORT_SERVER_BATCHING_SAMPLE_REQUEST_H_
#define RETORT_SERVER_BATCHING_SAMPLE_REQUEST_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "retort/v1/model_service.pb.h"
#include "retort/v1/sampling_service.pb.h"

namespace retort::batching {

// A model as requests see it.
struct ServedModel {
  std::string name;
  std::string dir;
  v1::Model::Kind kind = v1::Model::KIND_UNSPECIFIED;
  int64_t channels = 0;
  int64_t resolution = 0;
  int64_t classes = 0;  // 0: unconditional
};

struct SampleLimits {
  int64_t max_samples = 4096;
  int64_t max_steps = 4096;
  // Of one answer's images, by their largest form.
  int64_t max_bytes = int64_t{48} << 20;
};

// Checks `request` against the model and returns it with every default filled
// in: samples, steps or times, format, a teacher's solver, and one class per
// image. Whether times fit the model's noise levels is for the replica to say.
//
// Errors: INVALID_ARGUMENT with a violation per field and what is allowed;
// UNIMPLEMENTED (NOT_IMPLEMENTED) for a solver that is not there yet.
absl::StatusOr<v1::SampleRequest> ResolveSampleRequest(
    const v1::SampleRequest& request, const ServedModel& model,
    const SampleLimits& limits);

// Returns the bytes of the images of an answer to a resolved request; for PNG
// an upper bound.
int64_t AnswerBytes(const v1::SampleRequest& request, const ServedModel& model);

}  // namespace retort::batching

#endif  // RETORT_SERVER_BATCHING_SAMPLE_REQUEST_H_
