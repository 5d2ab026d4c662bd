#include "server/worker/validation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/eval/frechet.h"
#include "core/eval/reference_statistics.h"
#include "core/io/png.h"
#include "core/nn/consistency_model.h"

namespace retort::worker {
namespace {

constexpr int64_t kBatch = 256;

sample::Solver SolverOf(const ValidationParts& parts) {
  if (parts.jump == nullptr) return sample::Solver::kHeun;
  return parts.network->config().two_times ? sample::Solver::kTrajectory
                                           : sample::Solver::kConsistency;
}

}  // namespace

Validation::Validation(const TaskContext& context,
                       const v1::ValidationSpec& spec,
                       const ValidationParts& parts)
    : context_(context),
      spec_(spec),
      schedule_(parts.schedule),
      network_(nn::CloneDenoiser(*parts.network)),
      solver_(SolverOf(parts)) {
  network_->set_compute_dtype(at::kFloat);  // whatever the run trains in
  sampler_ = parts.jump == nullptr
                 ? std::make_unique<sample::Sampler>(network_)
                 : std::make_unique<sample::Sampler>(
                       nn::ConsistencyModel(network_, parts.jump));
}

absl::StatusOr<std::unique_ptr<Validation>> Validation::Create(
    const TaskContext& context, const v1::ValidationSpec& spec,
    const ValidationParts& parts) {
  auto validation =
      std::unique_ptr<Validation>(new Validation(context, spec, parts));
  RETORT_RETURN_IF_ERROR(validation->Prepare(parts));
  validation->activity_ = "validation";
  return validation;
}

absl::Status Validation::Prepare(const ValidationParts& parts) {
  if (parts.teacher != nullptr) {
    RETORT_ASSIGN_OR_RETURN(
        end_points_, Images(sample::Sampler(parts.teacher),
                            sample::Solver::kHeun, spec_.teacher_steps()));
  }
  if (spec_.feature_extractor().empty()) return absl::OkStatus();
  RETORT_ASSIGN_OR_RETURN(const std::string dir,
                          context_.ModelDir(spec_.feature_extractor()));
  const nn::NetworkConfig& config = network_->config();
  RETORT_ASSIGN_OR_RETURN(
      extractor_, eval::FeatureExtractor::Load(
                      dir, {config.img_channels, config.img_resolution}));
  eval::ReferenceOptions options;
  options.cache_dir = context_.CacheDir();
  options.progress = [this](int64_t, int64_t) { return !Stopping(); };
  RETORT_ASSIGN_OR_RETURN(
      reference_,
      eval::ComputeReferenceStatistics(*extractor_, *parts.dataset, options));
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> Validation::Images(const sample::Sampler& sampler,
                                              sample::Solver solver,
                                              int64_t steps) const {
  sample::SampleOptions options;
  options.plan.solver = solver;
  options.plan.schedule = schedule_;
  options.plan.steps = steps;
  options.seed = spec_.seed();
  options.count = spec_.samples();
  options.batch_size = kBatch;
  options.stop = [this] { return Stopping(); };
  RETORT_ASSIGN_OR_RETURN(sample::SampleResult result, sampler.Sample(options));
  return std::move(result.images);
}

absl::StatusOr<train::Metrics> Validation::Measure(
    const io::TensorMap& weights) {
  RETORT_RETURN_IF_ERROR(network_->LoadStateDict(weights));
  train::Metrics metrics;
  for (const int64_t steps : spec_.steps()) {
    RETORT_ASSIGN_OR_RETURN(const at::Tensor images,
                            Images(*sampler_, solver_, steps));
    // A consistency model's later steps start from fresh noise, so that only
    // its first one has an end point.
    if (end_points_.defined() &&
        (steps == 1 || solver_ == sample::Solver::kTrajectory)) {
      metrics[absl::StrCat("validation_rms_", steps)] = (images - end_points_)
                                                            .to(at::kDouble)
                                                            .square()
                                                            .mean()
                                                            .sqrt()
                                                            .item<double>();
    }
    if (extractor_ == nullptr) continue;
    eval::FeatureStatistics generated(extractor_->dim());
    for (const at::Tensor& part : images.split(kBatch)) {
      if (Stopping()) return absl::CancelledError("the task is to stop");
      RETORT_RETURN_IF_ERROR(
          eval::AddImages(*extractor_, io::ToUint8(part), &generated));
    }
    RETORT_ASSIGN_OR_RETURN(metrics[absl::StrCat("validation_fd_", steps)],
                            eval::FrechetDistance(generated, *reference_));
  }
  return metrics;
}

}  // namespace retort::worker
