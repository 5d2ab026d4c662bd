#ifndef RETORT_SERVER_WORKER_STUDENT_JUMP_H_
#define RETORT_SERVER_WORKER_STUDENT_JUMP_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "core/io/model_manifest.h"
#include "core/io/safetensors.h"
#include "core/math/jump.h"
#include "core/math/noise_schedule.h"

// A student's preconditioning, as its manifest carries it: name, schedule and,
// for the measured ones, the artefact's measurements themselves, so that a
// student can be moved and sampled from without the artefact. Those of
// fitted-spectral are megabytes, and lie beside the weights instead, where they
// go wherever these go.
namespace retort::worker {

struct StudentJump {
  math::NoiseSchedule schedule;
  std::shared_ptr<const math::JumpPrecond> jump;
  nlohmann::json manifest;  // for ModelManifest::preconditioning
  io::TensorMap tensors;    // for ModelDirContents::preconditioning
};

// Of a name and, where it needs one, an artefact's folder. Errors: those of
// analytic::MakeJump.
absl::StatusOr<StudentJump> MakeStudentJump(const std::string& name,
                                            const math::NoiseSchedule& schedule,
                                            const std::string& artefact_dir);

// Of a student's manifest and the tensors beside its weights. InvalidArgument,
// naming the field, when they hold less than is needed.
absl::StatusOr<StudentJump> ReadStudentJump(const io::ModelManifest& manifest,
                                            const io::TensorMap& tensors = {});

// The schedule in a manifest's "preconditioning", with defaults where it
// has none and the network's sigma_data.
absl::StatusOr<math::NoiseSchedule> ReadSchedule(
    const io::ModelManifest& manifest);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_STUDENT_JUMP_H_
