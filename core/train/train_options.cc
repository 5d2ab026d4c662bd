#include "core/train/train_options.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace retort::train {
namespace {

using nlohmann::json;

template <typename T>
absl::Status OutOfRange(absl::string_view field, T value,
                        absl::string_view range) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, "; it must be ", range));
}

absl::Status ValidateRates(const TrainOptions& o) {
  if (o.ema_rates.empty() && !(o.ema_halflife_images > 0)) {
    return absl::InvalidArgumentError(
        "ema_rates is empty and ema_halflife_images is 0; the resulting model "
        "holds averaged weights, so give one of them (rate 0 = no averaging)");
  }
  for (const double rate : o.ema_rates) {
    if (!(rate >= 0 && rate < 1)) {
      return OutOfRange("ema_rates", rate, "in [0, 1)");
    }
  }
  if (!(o.ema_halflife_images >= 0)) {
    return OutOfRange("ema_halflife_images", o.ema_halflife_images,
                      "0 (none) or positive");
  }
  if (!(o.ema_rampup_ratio >= 0)) {
    return OutOfRange("ema_rampup_ratio", o.ema_rampup_ratio,
                      "0 (none) or positive");
  }
  if (!(o.target_ema_rate >= 0 && o.target_ema_rate < 1)) {
    return OutOfRange("target_ema_rate", o.target_ema_rate, "in [0, 1)");
  }
  return absl::OkStatus();
}

absl::Status ValidateAugmentation(const TrainOptions& o) {
  if (!(o.augment_probability >= 0 && o.augment_probability <= 1)) {
    return OutOfRange("augment_probability", o.augment_probability,
                      "in [0, 1]");
  }
  if (o.augment_probability > 0 && o.method != Method::kEdm) {
    return absl::InvalidArgumentError(
        "augment_probability is for edm only; students train without");
  }
  return absl::OkStatus();
}

absl::Status ValidateLoss(const TrainOptions& o) {
  RETORT_RETURN_IF_ERROR(o.gan.Validate());
  if (o.method == Method::kEdm) {
    if (o.gan.weight > 0) {
      return absl::InvalidArgumentError("gan weight is for cm and ctm only");
    }
    if (o.edm.p_std > 0 && o.edm.sigma_data > 0) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "edm p_std and sigma_data must be positive");
  }
  RETORT_RETURN_IF_ERROR(o.distance.Validate());
  if (o.method == Method::kCtm) return o.ctm.Validate();
  RETORT_RETURN_IF_ERROR(o.cm.schedule.Validate());
  if (o.cm.num_times < 2) {
    return OutOfRange("cm num_times", o.cm.num_times, "at least 2");
  }
  if (o.curriculum != Curriculum::kFixed &&
      (o.curriculum_start < 2 || o.curriculum_start > o.cm.num_times)) {
    return OutOfRange(
        "curriculum_start", o.curriculum_start,
        absl::StrCat("in [2, cm num_times = ", o.cm.num_times, "]"));
  }
  return absl::OkStatus();
}

absl::Status ValidateKeeping(const TrainOptions& o) {
  if (o.keep_checkpoints < 1) {
    return OutOfRange("keep_checkpoints", o.keep_checkpoints, "at least 1");
  }
  if (o.keep_every != 0 && (o.keep_every < 0 || o.checkpoint_every == 0 ||
                            o.keep_every % o.checkpoint_every != 0)) {
    return OutOfRange("keep_every", o.keep_every,
                      absl::StrCat("0 (none) or a multiple of "
                                   "checkpoint_every, ",
                                   o.checkpoint_every));
  }
  if (o.keep_best < 0) {
    return OutOfRange("keep_best", o.keep_best, "0 (none) or positive");
  }
  if (o.keep_best > 0 && o.best_metric.empty()) {
    return absl::InvalidArgumentError(
        "best_metric is empty; keep_best needs one, such as \"loss\"");
  }
  return absl::OkStatus();
}

json LossJson(const TrainOptions& o) {
  if (o.method == Method::kEdm) {
    return {{"p_mean", o.edm.p_mean},
            {"p_std", o.edm.p_std},
            {"sigma_data", o.edm.sigma_data}};
  }
  json loss = {{"distance", o.distance.name},
               {"huber_c", o.distance.huber_c},
               {"resize", o.distance.resize},
               {"unit_range", o.distance.unit_range},
               {"target_ema_rate", o.target_ema_rate}};
  if (o.distance.name == "lpips") {
    loss["lpips"] = {{"backbone", o.distance.backbone_sha256},
                     {"heads", o.distance.heads_sha256},
                     {"mean_pooling", o.distance.mean_pooling}};
  }
  if (o.method == Method::kCm) {
    loss["schedule"] = o.cm.schedule;
    loss["num_times"] = o.cm.num_times;
    loss["weight"] = static_cast<int>(o.cm.weight);
    if (o.curriculum != Curriculum::kFixed) {
      loss["curriculum"] = {
          {"adaptive_rate", o.curriculum == Curriculum::kProgressive},
          {"start", o.curriculum_start},
          {"iterations", o.iterations}};
    }
    return loss;
  }
  const distill::CtmLossOptions& c = o.ctm;
  loss["schedule"] = c.schedule;
  loss["num_times"] = c.num_times;
  loss["max_ode_steps"] = c.max_ode_steps;
  loss["weight_steps_by_k"] = c.weight_steps_by_k;
  loss["ema_inner_target"] = c.target_inner == distill::CtmTargetInner::kEma;
  loss["weight"] = static_cast<int>(c.weight);
  loss["consistency_weight"] = c.consistency_weight;
  loss["denoising_weight"] = c.denoising_weight;
  loss["adaptive_weight"] = c.adaptive_weight;
  loss["adaptive_from_step"] = c.adaptive_from_step;
  loss["dsm_p_mean"] = c.dsm_p_mean;
  loss["dsm_p_std"] = c.dsm_p_std;
  loss["dsm_grid_fraction"] = c.dsm_grid_fraction;
  // Only where they are used: older checkpoints do not have them.
  const distill::CtmLossOptions plain;
  if (c.target_inner == distill::CtmTargetInner::kNone) {
    loss["target_inner"] = "none";
  }
  if (c.estimate_outer != plain.estimate_outer) {
    loss["estimate_outer"] = "student";
  }
  if (c.estimate_via != plain.estimate_via) loss["estimate_via"] = "u";
  if (c.jump_weight_exponent != plain.jump_weight_exponent) {
    loss["jump_weight_exponent"] = c.jump_weight_exponent;
  }
  if (c.dsm_weight != plain.dsm_weight) {
    loss["dsm_weight"] = static_cast<int>(c.dsm_weight);
  }
  return loss;
}

}  // namespace

std::string MethodName(Method method) {
  switch (method) {
    case Method::kEdm:
      return "edm";
    case Method::kCm:
      return "cm";
    case Method::kCtm:
      return "ctm";
  }
  return "unknown";
}

absl::Status TrainOptions::Validate() const {
  if (iterations < 1) return OutOfRange("iterations", iterations, "at least 1");
  if (batch_size < 1) return OutOfRange("batch_size", batch_size, "at least 1");
  if (accumulation < 1 || batch_size % accumulation != 0) {
    return OutOfRange("accumulation", accumulation,
                      absl::StrCat("a divisor of batch_size, ", batch_size));
  }
  if (!(learning_rate > 0)) {
    return OutOfRange("learning_rate", learning_rate, "positive");
  }
  if (lr_rampup_images < 0) {
    return OutOfRange("lr_rampup_images", lr_rampup_images,
                      "0 (none) or positive");
  }
  if (!(max_gradient_norm >= 0)) {
    return OutOfRange("max_gradient_norm", max_gradient_norm,
                      "0 (none) or positive");
  }
  if (max_nonfinite_steps < 1) {
    return OutOfRange("max_nonfinite_steps", max_nonfinite_steps, "at least 1");
  }
  if (log_every < 1) return OutOfRange("log_every", log_every, "at least 1");
  if (checkpoint_every < 0) {
    return OutOfRange("checkpoint_every", checkpoint_every,
                      "0 (only at the end) or positive");
  }
  if (validate_every < 0) {
    return OutOfRange("validate_every", validate_every,
                      "0 (never) or positive");
  }
  RETORT_RETURN_IF_ERROR(ValidateKeeping(*this));
  RETORT_RETURN_IF_ERROR(loss_scale.Validate());
  RETORT_RETURN_IF_ERROR(optimizer.Validate());
  RETORT_RETURN_IF_ERROR(ValidateRates(*this));
  RETORT_RETURN_IF_ERROR(ValidateAugmentation(*this));
  return ValidateLoss(*this);
}

math::ConsistencyStage TrainOptions::StageAt(int64_t step) const {
  math::ConsistencyScheduleOptions o;
  o.start_ema = target_ema_rate;
  o.start_scales = cm.num_times;
  if (method == Method::kCm && curriculum != Curriculum::kFixed) {
    o.scale = math::ConsistencyScheduleOptions::Scale::kProgressive;
    o.adaptive_ema = curriculum == Curriculum::kProgressive;
    o.start_scales = curriculum_start;
    o.end_scales = cm.num_times - 1;  // the paper's s1: N ends at s1 + 1
    o.total_steps = iterations;
  }
  return math::StageAt(o, step);
}

json TrainOptions::Fingerprint() const {
  json run = {{"method", MethodName(method)},
              {"batch_size", batch_size},
              {"seed", seed},
              {"optimizer",
               {{"name", optimizer.name},
                {"beta1", optimizer.beta1},
                {"beta2", optimizer.beta2},
                {"eps", optimizer.eps},
                {"weight_decay", optimizer.weight_decay}}},
              {"learning_rate", learning_rate},
              {"lr_rampup_images", lr_rampup_images},
              {"max_gradient_norm", max_gradient_norm},
              {"replace_nonfinite_gradients",
               nonfinite_policy == NonfinitePolicy::kReplace},
              {"ema_rates", ema_rates},
              {"ema_halflife_images", ema_halflife_images},
              {"ema_rampup_ratio", ema_rampup_ratio},
              {"loss", LossJson(*this)}};
  // Only where they are used: older checkpoints do not have them.
  if (precision != Precision::kFp32) {
    run["precision"] = precision == Precision::kBf16 ? "bf16" : "fp16";
  }
  if (precision == Precision::kFp16 &&
      loss_scale.ToJson() != LossScaleOptions().ToJson()) {
    run["loss_scale"] = loss_scale.ToJson();
  }
  if (accumulation != 1) run["accumulation"] = accumulation;
  if (augment_probability > 0) {
    run["augment_probability"] = augment_probability;
  }
  if (gan.weight > 0) {
    run["gan"] = {{"weight", gan.weight},
                  {"r1_weight", gan.r1_weight},
                  {"start_step", gan.start_step},
                  {"channels", gan.channels},
                  {"learning_rate", gan.learning_rate}};
  }
  if (nonfinite_policy == NonfinitePolicy::kRollBack) {
    run["roll_back"] = {{"max_nonfinite_steps", max_nonfinite_steps},
                        {"checkpoint_every", checkpoint_every}};
  }
  return run;
}

}  // namespace retort::train
