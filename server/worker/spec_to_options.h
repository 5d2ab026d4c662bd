#ifndef RETORT_SERVER_WORKER_SPEC_TO_OPTIONS_H_
#define RETORT_SERVER_WORKER_SPEC_TO_OPTIONS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/analytic/precondition.h"
#include "core/data/dataset.h"
#include "core/distill/distance.h"
#include "core/distill/lpips.h"
#include "core/math/noise_schedule.h"
#include "core/nn/network_config.h"
#include "core/train/train_options.h"
#include "retort/v1/spec.pb.h"

// From the messages of a job's spec to the option structs of core. Where a
// field is zero and that means a default, the default of spec.proto is taken,
// so that a spec works resolved or as written. Pure functions.
namespace retort::worker {

math::NoiseSchedule ToSchedule(const v1::NoiseScheduleSpec& spec);

train::TrainOptions ToTrainOptions(const v1::TrainTeacherSpec& spec);

// What a job says of a network that it starts from scratch (train_teacher,
// METHOD_CT). Refers to the spec.
struct NetworkFields {
  const v1::NetworkSpec& network;
  const v1::DataSpec& data;
  const v1::NoiseScheduleSpec& noise;
  double augment_probability = 0;
};
NetworkFields NetworkFieldsOf(const v1::TrainTeacherSpec& spec);
NetworkFields NetworkFieldsOf(const v1::DistillSpec& spec);

// Of a data set.
struct ImageShape {
  int64_t resolution = 0;
  int64_t channels = 0;
  int64_t classes = 0;
};

// Returns that network for images of this shape; with augmentation it takes the
// augmentation's labels. InvalidArgument as service::ToNetworkConfig().
absl::StatusOr<nn::NetworkConfig> NewNetwork(const NetworkFields& fields,
                                             const ImageShape& images);

// InvalidArgument for a distance or method that this build does not have. Of
// DISTANCE_LPIPS only the name is set: the rest is LpipsOptions'.
absl::StatusOr<train::TrainOptions> ToTrainOptions(const v1::DistillSpec& spec);

// LPIPS as the spec has it for images of side `side` in [-1, 1], and what is
// done to them first; no hashes.
struct PerceptualOptions {
  distill::LpipsOptions lpips;
  distill::DistanceOptions distance;
};
PerceptualOptions ToPerceptualOptions(const v1::LpipsSpec& spec, int64_t side);

analytic::PreconditionOptions ToPreconditionOptions(
    const v1::EstimatePreconditioningSpec& spec);

// "fitted-state" and so on, as core/analytic names them. The default is the
// method's own: "ctm" for METHOD_CTM, "cm" for the others.
std::string JumpName(v1::PreconditioningKind kind,
                     v1::DistillSpec::Method method);

// Loads the training images (the test images if `test`, of data sets that have
// any), as far as the spec wants them. Errors: those of data::LoadFashionMnist,
// data::OpenImageDataset and data::MakeView.
absl::StatusOr<std::unique_ptr<data::Dataset>> LoadDataset(
    const v1::DataSpec& spec, bool test = false);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_SPEC_TO_OPTIONS_H_
