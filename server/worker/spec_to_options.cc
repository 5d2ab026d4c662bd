#include "server/worker/spec_to_options.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/data/augment.h"
#include "core/data/dataset_view.h"
#include "core/data/fashion_mnist.h"
#include "core/data/image_dataset.h"
#include "server/base/network_spec.h"
#include "server/base/validation_metrics.h"

namespace retort::worker {
namespace {

// Zero means the default.
template <typename T>
T Or(T value, T fallback) {
  return value == T() ? fallback : value;
}

void SetOptimizer(const v1::OptimizerSpec& spec, const std::string& kind,
                  double learning_rate, train::TrainOptions* options) {
  options->optimizer.name = kind;
  if (spec.kind() == v1::OptimizerSpec::KIND_ADAM) {
    options->optimizer.name = "adam";
  } else if (spec.kind() == v1::OptimizerSpec::KIND_RADAM) {
    options->optimizer.name = "radam";
  }
  options->learning_rate = Or(spec.learning_rate(), learning_rate);
  options->optimizer.beta1 = Or(spec.beta1(), 0.9);
  options->optimizer.beta2 = Or(spec.beta2(), 0.999);
  options->optimizer.eps = Or(spec.epsilon(), 1e-8);
  options->optimizer.weight_decay = spec.weight_decay();
  options->lr_rampup_images = spec.warmup_images();
}

train::Precision ToPrecision(v1::TrainingSpec::Precision precision) {
  switch (precision) {
    case v1::TrainingSpec::PRECISION_BF16:
      return train::Precision::kBf16;
    case v1::TrainingSpec::PRECISION_FP16:
      return train::Precision::kFp16;
    default:
      return train::Precision::kFp32;
  }
}

train::NonfinitePolicy ToPolicy(v1::TrainingSpec::NonfinitePolicy policy) {
  switch (policy) {
    case v1::TrainingSpec::NONFINITE_POLICY_ROLL_BACK:
      return train::NonfinitePolicy::kRollBack;
    case v1::TrainingSpec::NONFINITE_POLICY_REPLACE:
      return train::NonfinitePolicy::kReplace;
    default:
      return train::NonfinitePolicy::kSkip;
  }
}

train::Curriculum ToCurriculum(v1::DistillSpec::Curriculum curriculum) {
  switch (curriculum) {
    case v1::DistillSpec::CURRICULUM_PROGRESSIVE:
      return train::Curriculum::kProgressive;
    case v1::DistillSpec::CURRICULUM_PROGRESSIVE_GRID:
      return train::Curriculum::kProgressiveGrid;
    default:
      return train::Curriculum::kFixed;
  }
}

distill::CmWeight ToWeight(v1::DistillSpec::Weighting weighting) {
  switch (weighting) {
    case v1::DistillSpec::WEIGHTING_KARRAS:
      return distill::CmWeight::kKarras;
    case v1::DistillSpec::WEIGHTING_SNR:
      return distill::CmWeight::kSnr;
    case v1::DistillSpec::WEIGHTING_SNR_PLUS_ONE:
      return distill::CmWeight::kSnrPlusOne;
    case v1::DistillSpec::WEIGHTING_TRUNCATED_SNR:
      return distill::CmWeight::kTruncatedSnr;
    default:
      return distill::CmWeight::kUniform;
  }
}

void SetTraining(const v1::TrainingSpec& spec, train::TrainOptions* options) {
  options->batch_size = Or<int64_t>(spec.batch_size(), 64);
  options->iterations = spec.iterations();
  options->seed = spec.seed();
  options->checkpoint_every = Or<int64_t>(spec.checkpoint_every(), 500);
  options->keep_checkpoints = Or<int64_t>(spec.keep_checkpoints(), 2);
  options->keep_every = spec.keep_every();
  options->keep_best = spec.keep_best();
  options->log_every = Or<int64_t>(spec.log_every(), 10);
  options->ema_rates = {Or(spec.ema_rate(), 0.999)};
  if (spec.ema_halflife_images() > 0) {
    options->ema_rates.clear();
    options->ema_halflife_images = spec.ema_halflife_images();
    options->ema_rampup_ratio = Or(spec.ema_rampup_ratio(), 0.05);
  }
  options->max_gradient_norm = spec.max_gradient_norm();
  options->precision = ToPrecision(spec.precision());
  options->loss_scale.initial = Or(spec.loss_scale().initial(), 65536.0);
  options->loss_scale.growth_factor =
      Or(spec.loss_scale().growth_factor(), 2.0);
  options->loss_scale.growth_interval =
      Or<int64_t>(spec.loss_scale().growth_interval(), 2000);
  options->accumulation = Or(spec.accumulation(), 1);
  options->nonfinite_policy = ToPolicy(spec.nonfinite_policy());
  options->max_nonfinite_steps = Or<int64_t>(spec.max_nonfinite_steps(), 10);
  options->validate_every = spec.validation().every();
}

distill::GanOptions ToGanOptions(const v1::GanSpec& spec) {
  distill::GanOptions options;
  options.weight = spec.weight();
  const double r1 = Or(spec.r1_weight(), 0.1);
  options.r1_weight = r1 < 0 ? 0 : r1;
  options.start_step = spec.start_step();
  options.channels = Or(spec.channels(), 32);
  options.learning_rate = Or(spec.learning_rate(), 2e-4);
  return options;
}

absl::StatusOr<std::string> DistanceName(v1::DistillSpec::Distance distance) {
  switch (distance) {
    case v1::DistillSpec::DISTANCE_L1:
      return "l1";
    case v1::DistillSpec::DISTANCE_L2:
      return "l2";
    case v1::DistillSpec::DISTANCE_UNSPECIFIED:
    case v1::DistillSpec::DISTANCE_PSEUDO_HUBER:
      return "pseudo-huber";
    case v1::DistillSpec::DISTANCE_LPIPS:
      return "lpips";
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "distance ", v1::DistillSpec::Distance_Name(distance),
          " is not in this build; use L1, L2, PSEUDO_HUBER or LPIPS"));
  }
}

}  // namespace

math::NoiseSchedule ToSchedule(const v1::NoiseScheduleSpec& spec) {
  math::NoiseSchedule schedule;
  schedule.sigma_min = Or(spec.sigma_min(), schedule.sigma_min);
  schedule.sigma_max = Or(spec.sigma_max(), schedule.sigma_max);
  schedule.rho = Or(spec.rho(), schedule.rho);
  schedule.sigma_data = Or(spec.sigma_data(), schedule.sigma_data);
  return schedule;
}

train::TrainOptions ToTrainOptions(const v1::TrainTeacherSpec& spec) {
  train::TrainOptions options;
  options.method = train::Method::kEdm;
  SetOptimizer(spec.optimizer(), "adam", 1e-3, &options);
  SetTraining(spec.training(), &options);
  options.best_metric =
      service::BestMetric(spec.training(), service::ValidationMetrics(spec));
  options.edm.p_mean = Or(spec.p_mean(), -1.2);
  options.edm.p_std = Or(spec.p_std(), 1.2);
  options.edm.sigma_data = ToSchedule(spec.noise()).sigma_data;
  options.augment_probability = spec.augment_probability();
  return options;
}

NetworkFields NetworkFieldsOf(const v1::TrainTeacherSpec& spec) {
  return {spec.network(), spec.data(), spec.noise(),
          spec.augment_probability()};
}

NetworkFields NetworkFieldsOf(const v1::DistillSpec& spec) {
  return {spec.network(), spec.data(), spec.noise()};
}

absl::StatusOr<nn::NetworkConfig> NewNetwork(const NetworkFields& fields,
                                             const ImageShape& images) {
  RETORT_ASSIGN_OR_RETURN(
      nn::NetworkConfig config,
      service::ToNetworkConfig(
          fields.network, ToSchedule(fields.noise).sigma_data,
          images.resolution, images.channels,
          fields.data.unconditional() ? 0 : images.classes));
  if (const double p = fields.augment_probability; p > 0) {
    config.augment_dim = data::AugmentLabelDim(data::EdmAugmentation(p));
  }
  return config;
}

absl::StatusOr<train::TrainOptions> ToTrainOptions(
    const v1::DistillSpec& spec) {
  train::TrainOptions options;
  options.method = spec.method() == v1::DistillSpec::METHOD_CM ||
                           spec.method() == v1::DistillSpec::METHOD_CT
                       ? train::Method::kCm
                       : train::Method::kCtm;
  SetOptimizer(spec.optimizer(), "radam", 4e-4, &options);
  SetTraining(spec.training(), &options);
  options.best_metric =
      service::BestMetric(spec.training(), service::ValidationMetrics(spec));
  options.curriculum = ToCurriculum(spec.curriculum());
  options.curriculum_start = Or(spec.start_grid_size(), 2);
  options.target_ema_rate = std::max(
      Or(spec.target_ema_rate(),
         options.curriculum == train::Curriculum::kProgressive ? 0.95 : 0.999),
      0.0);  // -1: the student itself
  RETORT_ASSIGN_OR_RETURN(options.distance.name, DistanceName(spec.distance()));
  const int64_t times = Or<int64_t>(spec.grid_size(), 18);
  options.cm.schedule = ToSchedule(spec.noise());
  options.cm.num_times = times;
  options.cm.weight = ToWeight(spec.weighting());
  options.ctm.schedule = options.cm.schedule;
  options.ctm.num_times = times;
  options.ctm.weight = options.cm.weight;
  options.ctm.max_ode_steps = Or<int64_t>(spec.max_ode_steps(), times - 1);
  options.ctm.weight_steps_by_k =
      spec.step_strategy() != v1::DistillSpec::STEP_STRATEGY_UNIFORM;
  if (spec.target_inner_ema()) {
    options.ctm.target_inner = distill::CtmTargetInner::kEma;
  }
  const double dsm = Or(spec.dsm_weight(), 1.0);
  options.ctm.denoising_weight = dsm < 0 ? 0 : dsm;
  options.gan = ToGanOptions(spec.gan());
  return options;
}

PerceptualOptions ToPerceptualOptions(const v1::LpipsSpec& spec, int64_t side) {
  // The authors of CM resize images below 256 pixels alone.
  const int32_t resize = Or(spec.resize(), side < 256 ? 224 : -1);
  PerceptualOptions options;
  options.distance.name = "lpips";
  options.distance.resize = resize < 0 ? 0 : resize;
  if (spec.pooling() == v1::LpipsSpec::POOLING_MAX) {
    options.lpips.pooling = nn::Pooling::kMax;
    options.lpips.input = distill::LpipsOptions::Input::kSigned;
  } else {
    options.distance.unit_range = true;  // which is what kUnit takes
  }
  options.distance.mean_pooling = options.lpips.pooling == nn::Pooling::kMean;
  return options;
}

analytic::PreconditionOptions ToPreconditionOptions(
    const v1::EstimatePreconditioningSpec& spec) {
  analytic::PreconditionOptions options;
  options.schedule = ToSchedule(spec.noise());
  options.estimate.knots = Or(spec.knots(), 120);
  options.estimate.samples = Or<int64_t>(spec.samples_per_knot(), 4096);
  options.estimate.batch = Or<int64_t>(spec.batch_size(), 256);
  options.estimate.seed = spec.seed();
  using Spec = v1::EstimatePreconditioningSpec;
  if (spec.trace_estimator() == Spec::TRACE_ESTIMATOR_HUTCHINSON) {
    options.estimate.trace = analytic::TraceEstimator::kHutchinson;
  }
  if (spec.scale_estimator() == Spec::SCALE_ESTIMATOR_JVP) {
    options.estimate.scale = analytic::ScaleEstimator::kJvp;
  }
  options.estimate.tolerance = spec.tolerance();
  options.served.iterations = spec.served_iterations();
  options.served.batch_size = Or<int64_t>(spec.served_batch_size(), 64);
  const int64_t trajectories = Or<int64_t>(spec.trajectories(), 2048);
  options.fit = trajectories > 0;
  if (options.fit) options.trajectory.trajectories = trajectories;
  options.trajectory.grid = Or(spec.grid_size(), 18);
  options.trajectory.batch = options.estimate.batch;
  options.trajectory.seed = spec.seed();
  options.fit_spectral = spec.has_spectral() ? spec.spectral() : options.fit;
  return options;
}

std::string JumpName(v1::PreconditioningKind kind,
                     v1::DistillSpec::Method method) {
  switch (kind) {
    case v1::PRECONDITIONING_KIND_CM:
      return "cm";
    case v1::PRECONDITIONING_KIND_CTM:
      return "ctm";
    case v1::PRECONDITIONING_KIND_BCM:
      return "bcm";
    case v1::PRECONDITIONING_KIND_ANALYTIC:
      return "analytic";
    case v1::PRECONDITIONING_KIND_ANALYTIC_FORWARD:
      return "analytic-forward";
    case v1::PRECONDITIONING_KIND_FITTED_STATE:
      return "fitted-state";
    case v1::PRECONDITIONING_KIND_FITTED_DENOISER:
      return "fitted-denoiser";
    case v1::PRECONDITIONING_KIND_FITTED_SPECTRAL:
      return "fitted-spectral";
    default:
      return method == v1::DistillSpec::METHOD_CM ||
                     method == v1::DistillSpec::METHOD_CT
                 ? "cm"
                 : "ctm";
  }
}

absl::StatusOr<std::unique_ptr<data::Dataset>> LoadDataset(
    const v1::DataSpec& spec, bool test) {
  std::unique_ptr<data::Dataset> all;
  if (spec.dataset() == v1::DataSpec::DATASET_IMAGES) {
    data::ImageDatasetOptions options;
    options.resolution = spec.resolution();
    RETORT_ASSIGN_OR_RETURN(all, data::OpenImageDataset(spec.path(), options));
  } else {
    RETORT_ASSIGN_OR_RETURN(
        all, data::LoadFashionMnist(
                 spec.path(), test ? data::Split::kTest : data::Split::kTrain,
                 Or(spec.resolution(), 32)));
  }
  data::ViewOptions view;
  view.max_images = spec.max_images();
  view.seed = spec.subset_seed();
  view.mirror = spec.mirror();
  return data::MakeView(std::move(all), view);
}

}  // namespace retort::worker
