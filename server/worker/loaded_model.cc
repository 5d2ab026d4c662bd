#include "server/worker/loaded_model.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/io/model_file.h"
#include "core/nn/consistency_model.h"
#include "server/worker/student_jump.h"

namespace retort::worker {

absl::StatusOr<LoadedNetwork> LoadNetwork(const std::string& dir) {
  RETORT_ASSIGN_OR_RETURN(io::ModelDirContents contents, io::ReadModelDir(dir));
  const std::string& kind = contents.manifest.kind;
  if (kind != "teacher" && kind != "cm" && kind != "ctm") {
    return absl::InvalidArgumentError(
        absl::StrCat(dir, " holds a model of kind ", kind,
                     ", which has no network to draw images from; name a "
                     "teacher, cm or ctm"));
  }
  RETORT_ASSIGN_OR_RETURN(
      const nn::NetworkConfig config,
      nn::NetworkConfig::FromJson(contents.manifest.network));
  LoadedNetwork loaded;
  loaded.network = nn::CreateDenoiser(config, /*init_seed=*/0);
  RETORT_RETURN_IF_ERROR(loaded.network->LoadStateDict(contents.tensors));
  loaded.network->eval();
  for (at::Tensor& p : loaded.network->parameters()) p.requires_grad_(false);
  loaded.manifest = std::move(contents.manifest);
  loaded.preconditioning = std::move(contents.preconditioning);
  return loaded;
}

namespace {

absl::Status CheckJumpFits(const math::JumpPrecond& jump,
                           const nn::NetworkConfig& config) {
  const std::vector<int64_t> images = {
      config.img_channels, config.img_resolution, config.img_resolution};
  const std::vector<int64_t> shape = jump.sample_shape();
  if (shape.empty() || shape == images) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the model's preconditioning is for samples of ",
                   absl::StrJoin(shape, "x"), ", but its network makes ",
                   absl::StrJoin(images, "x"), "; export the model again"));
}

}  // namespace

absl::StatusOr<LoadedModel> LoadModel(const std::string& dir) {
  RETORT_ASSIGN_OR_RETURN(LoadedNetwork network, LoadNetwork(dir));
  LoadedModel model;
  model.manifest = std::move(network.manifest);
  if (model.manifest.kind == "teacher") {
    model.solver = sample::Solver::kHeun;
    RETORT_ASSIGN_OR_RETURN(model.schedule, ReadSchedule(model.manifest));
    model.sampler = std::make_unique<sample::Sampler>(network.network);
    return model;
  }
  RETORT_ASSIGN_OR_RETURN(
      StudentJump jump,
      ReadStudentJump(model.manifest, network.preconditioning));
  RETORT_RETURN_IF_ERROR(CheckJumpFits(*jump.jump, network.network->config()));
  model.schedule = jump.schedule;
  model.solver = model.manifest.kind == "cm" ? sample::Solver::kConsistency
                                             : sample::Solver::kTrajectory;
  model.sampler = std::make_unique<sample::Sampler>(
      nn::ConsistencyModel(network.network, jump.jump));
  RETORT_RETURN_IF_ERROR(model.sampler->CheckSolver(model.solver));
  return model;
}

}  // namespace retort::worker
