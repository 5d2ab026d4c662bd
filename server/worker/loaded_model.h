#ifndef RETORT_SERVER_WORKER_LOADED_MODEL_H_
#define RETORT_SERVER_WORKER_LOADED_MODEL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/io/model_manifest.h"
#include "core/io/safetensors.h"
#include "core/math/noise_schedule.h"
#include "core/nn/denoiser.h"
#include "core/sample/sampler.h"

namespace retort::worker {

// A model's network with its weights, from its folder.
struct LoadedNetwork {
  io::ModelManifest manifest;
  std::shared_ptr<nn::EdmDenoiser> network;  // in eval mode
  io::TensorMap preconditioning;  // as ModelDirContents::preconditioning
};

// Errors: those of io::ReadModelDir, NetworkConfig::FromJson and
// EdmDenoiser::LoadStateDict; InvalidArgument for a kind without a network.
absl::StatusOr<LoadedNetwork> LoadNetwork(const std::string& dir);

// A model that images can be drawn from.
struct LoadedModel {
  io::ModelManifest manifest;
  sample::Solver solver;
  math::NoiseSchedule schedule;
  std::unique_ptr<sample::Sampler> sampler;
};

// As LoadNetwork, and the errors of ReadStudentJump; InvalidArgument when the
// preconditioning is for images of another shape.
absl::StatusOr<LoadedModel> LoadModel(const std::string& dir);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_LOADED_MODEL_H_
