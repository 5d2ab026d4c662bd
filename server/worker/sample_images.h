#ifndef RETORT_SERVER_WORKER_SAMPLE_IMAGES_H_
#define RETORT_SERVER_WORKER_SAMPLE_IMAGES_H_

#include "absl/status/statusor.h"
#include "core/sample/sampler.h"
#include "retort/v1/sampling_service.pb.h"
#include "server/worker/loaded_model.h"

// Between the messages of SamplingService and core/sample. Pure functions.
namespace retort::worker {

// The most images that one request may ask for.
inline constexpr int64_t kMaxSamples = 4096;

// InvalidArgument, naming the field, for what no model takes; what this model
// does not take is the sampler's to say.
absl::StatusOr<sample::SampleOptions> ToSampleOptions(
    const v1::SampleRequest& request, const LoadedModel& model);

// The images in the format asked for; statistics are left to the caller.
absl::StatusOr<v1::SampleResponse> ToResponse(
    const sample::SampleResult& result, v1::ImageFormat format);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_SAMPLE_IMAGES_H_
