#include "server/jobs/training_fields.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/validation_metrics.h"

namespace retort::jobs {
namespace {

using Training = v1::TrainingSpec;

constexpr double kRampupRatio = 0.05;  // EDM's

// The largest divisor of `batch` up to `parts`.
int64_t DivisorBelow(int64_t batch, int64_t parts) {
  for (int64_t d = parts; d > 1; --d) {
    if (batch % d == 0) return d;
  }
  return 1;
}

void ResolveAccumulation(const std::string& field, Training* training,
                         SpecProblems* problems) {
  if (training->accumulation() == 0) training->set_accumulation(1);
  const int64_t parts = training->accumulation();
  const int64_t batch = training->batch_size();
  if (batch < 1) return;  // a problem of its own
  if (parts < 1 || parts > batch) {
    problems->Add(field, absl::StrCat("is ", parts, "; must be in [1, ", batch,
                                      "], the images of a batch"));
  } else if (batch % parts != 0) {
    problems->Add(
        field,
        absl::StrCat("is ", parts, ", which does not divide the ", "batch of ",
                     batch, " images; use ", DivisorBelow(batch, parts),
                     ", or a batch_size ", "of ", batch - batch % parts));
  }
}

void ResolveAverage(const std::string& at, Training* training,
                    SpecProblems* problems) {
  const int64_t halflife = training->ema_halflife_images();
  problems->Require(
      halflife >= 0, at + ".ema_halflife_images",
      absl::StrCat("is ", halflife, "; must be positive, or left out"));
  if (halflife <= 0) {
    problems->Require(training->ema_rampup_ratio() == 0,
                      at + ".ema_rampup_ratio",
                      "is for ema_halflife_images only; give that too, or "
                      "leave this out");
    return;
  }
  if (training->ema_rampup_ratio() == 0) {
    training->set_ema_rampup_ratio(kRampupRatio);
  }
  const double ratio = training->ema_rampup_ratio();
  problems->Require(
      ratio > 0 && std::isfinite(ratio), at + ".ema_rampup_ratio",
      absl::StrCat("is ", ratio, "; must be positive, such as 0.05"));
}

// A power of two in [1, 2^24].
bool IsScale(double value) {
  int exponent = 0;
  return value >= 1 && value <= 16777216 && std::frexp(value, &exponent) == 0.5;
}

void ResolveLossScale(const std::string& at, Training* training,
                      SpecProblems* problems) {
  if (training->precision() != Training::PRECISION_FP16) {
    problems->Require(!training->has_loss_scale(), at,
                      "is for PRECISION_FP16 only; leave it out");
    return;
  }
  v1::LossScaleSpec* scale = training->mutable_loss_scale();
  if (scale->initial() == 0) scale->set_initial(65536);
  if (scale->growth_factor() == 0) scale->set_growth_factor(2);
  if (scale->growth_interval() == 0) scale->set_growth_interval(2000);
  const char* const kPower = "; must be a power of two from 1 to 2^24";
  problems->Require(IsScale(scale->initial()), at + ".initial",
                    absl::StrCat("is ", scale->initial(), kPower));
  problems->Require(IsScale(scale->growth_factor()), at + ".growth_factor",
                    absl::StrCat("is ", scale->growth_factor(), kPower));
  problems->Require(
      scale->growth_interval() >= 1, at + ".growth_interval",
      absl::StrCat("is ", scale->growth_interval(), "; must be positive"));
}

}  // namespace

void ResolveTrainingFields(const std::string& at, Training* training,
                           SpecProblems* problems) {
  if (training->precision() == Training::PRECISION_UNSPECIFIED) {
    training->set_precision(Training::PRECISION_FP32);
  }
  problems->Require(Training::Precision_IsValid(training->precision()),
                    at + ".precision",
                    "is unknown; use PRECISION_FP32, PRECISION_BF16 or "
                    "PRECISION_FP16");
  if (training->nonfinite_policy() == Training::NONFINITE_POLICY_UNSPECIFIED) {
    training->set_nonfinite_policy(Training::NONFINITE_POLICY_SKIP);
  }
  problems->Require(
      Training::NonfinitePolicy_IsValid(training->nonfinite_policy()),
      at + ".nonfinite_policy",
      "is unknown; use NONFINITE_POLICY_SKIP, NONFINITE_POLICY_ROLL_BACK or "
      "NONFINITE_POLICY_REPLACE");
  const double norm = training->max_gradient_norm();
  problems->Require(norm >= 0 && std::isfinite(norm), at + ".max_gradient_norm",
                    absl::StrCat("is ", norm, "; must be positive, or left ",
                                 "out to leave gradients as they are"));
  ResolveAccumulation(at + ".accumulation", training, problems);
  ResolveAverage(at, training, problems);
  ResolveLossScale(at + ".loss_scale", training, problems);
}

void ResolveKeeping(const std::string& at,
                    const std::vector<std::string>& validation_metrics,
                    Training* training, SpecProblems* problems) {
  const int64_t every = training->keep_every();
  const int64_t saved = training->checkpoint_every();
  problems->Require(
      every >= 0 && (saved < 1 || every % saved == 0), at + ".keep_every",
      absl::StrCat("is ", every, "; must be a multiple of checkpoint_every, ",
                   saved, ", or left out"));
  problems->Require(training->keep_best() >= 0, at + ".keep_best",
                    absl::StrCat("is ", training->keep_best(),
                                 "; must be positive, or left out"));
  if (training->keep_best() <= 0) return;
  training->set_best_metric(service::BestMetric(*training, validation_metrics));
  std::vector<std::string> known = {"loss"};
  known.insert(known.end(), validation_metrics.begin(),
               validation_metrics.end());
  problems->Require(
      std::find(known.begin(), known.end(), training->best_metric()) !=
          known.end(),
      at + ".best_metric",
      absl::StrCat("\"", training->best_metric(),
                   "\" is no series that this job will have; use one of ",
                   absl::StrJoin(known, ", ")));
}

}  // namespace retort::jobs
