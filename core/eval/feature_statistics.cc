#include "core/eval/feature_statistics.h"

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace retort::eval {
namespace {

bool AllFinite(const at::Tensor& x) {
  return at::isfinite(x).all().item<bool>();
}

absl::Status BadTensor(absl::string_view name, absl::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat("feature statistics: tensor '", name, "' ", problem,
                   "; delete the file and compute the statistics again"));
}

}  // namespace

FeatureStatistics::FeatureStatistics(int64_t dim) {
  RETORT_CHECK(dim >= 1);
  mean_ = at::zeros({dim}, at::kDouble);
  scatter_ = at::zeros({dim, dim}, at::kDouble);
}

FeatureStatistics::FeatureStatistics(const FeatureStatistics& other)
    : count_(other.count_),
      mean_(other.mean_.clone()),
      scatter_(other.scatter_.clone()) {}

FeatureStatistics& FeatureStatistics::operator=(
    const FeatureStatistics& other) {
  count_ = other.count_;
  mean_ = other.mean_.clone();
  scatter_ = other.scatter_.clone();
  return *this;
}

absl::Status FeatureStatistics::Add(const at::Tensor& features) {
  if (!features.defined() || features.dim() != 2 || features.size(1) != dim()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "feature statistics: expected features [n,", dim(), "], got ",
        features.defined() ? c10::str(features.sizes()) : "no tensor"));
  }
  if (!features.is_floating_point()) {
    return absl::InvalidArgumentError(
        "feature statistics: features must be floating-point");
  }
  if (features.size(0) == 0) return absl::OkStatus();
  const at::Tensor rows = features.detach().to(at::kCPU, at::kDouble);
  if (!AllFinite(rows)) {
    return absl::InvalidArgumentError(
        "feature statistics: a feature is not finite; the model that made the "
        "images, or the feature extractor, has diverged");
  }
  const at::Tensor mean = rows.mean(0);
  const at::Tensor centred = rows - mean;
  Join(rows.size(0), mean, centred.t().mm(centred));
  return absl::OkStatus();
}

absl::Status FeatureStatistics::Merge(const FeatureStatistics& other) {
  if (other.dim() != dim()) {
    return absl::InvalidArgumentError(
        absl::StrCat("feature statistics: cannot merge features of length ",
                     other.dim(), " into features of length ", dim()));
  }
  if (other.count_ > 0) Join(other.count_, other.mean_, other.scatter_);
  return absl::OkStatus();
}

// Chan, Golub and LeVeque 1983, Eq. 2.1, for vectors.
void FeatureStatistics::Join(int64_t count, const at::Tensor& mean,
                             const at::Tensor& scatter) {
  const double n_a = static_cast<double>(count_);
  const double n_b = static_cast<double>(count);
  const at::Tensor delta = mean - mean_;
  mean_ = mean_ + delta * (n_b / (n_a + n_b));
  scatter_ =
      scatter_ + scatter + at::outer(delta, delta) * (n_a * n_b / (n_a + n_b));
  count_ += count;
}

absl::StatusOr<at::Tensor> FeatureStatistics::Mean() const {
  if (count_ < 1) {
    return absl::FailedPreconditionError(
        "feature statistics: no mean before the first feature");
  }
  return mean_.clone();
}

absl::StatusOr<at::Tensor> FeatureStatistics::Covariance() const {
  if (count_ < 2) {
    return absl::FailedPreconditionError(
        absl::StrCat("feature statistics: a covariance needs at least 2 "
                     "features, there are ",
                     count_));
  }
  const at::Tensor sigma = scatter_ / static_cast<double>(count_ - 1);
  return (sigma + sigma.t()) / 2;
}

std::map<std::string, at::Tensor> FeatureStatistics::ToTensors() const {
  return {{"count", at::scalar_tensor(count_, at::kLong)},
          {"mean", mean_.clone()},
          {"scatter", scatter_.clone()}};
}

absl::StatusOr<FeatureStatistics> FeatureStatistics::FromTensors(
    const std::map<std::string, at::Tensor>& tensors) {
  for (const char* name : {"count", "mean", "scatter"}) {
    if (tensors.find(name) == tensors.end()) {
      return BadTensor(name, "is missing");
    }
  }
  const at::Tensor& count = tensors.at("count");
  const at::Tensor& mean = tensors.at("mean");
  const at::Tensor& scatter = tensors.at("scatter");
  if (count.scalar_type() != at::kLong || count.numel() != 1 ||
      count.item<int64_t>() < 0) {
    return BadTensor("count", "is not one non-negative int64");
  }
  if (mean.scalar_type() != at::kDouble || mean.dim() != 1 ||
      mean.size(0) < 1 || !AllFinite(mean)) {
    return BadTensor("mean", "is not a finite float64 vector");
  }
  const int64_t dim = mean.size(0);
  if (scatter.scalar_type() != at::kDouble || scatter.dim() != 2 ||
      scatter.size(0) != dim || scatter.size(1) != dim || !AllFinite(scatter)) {
    return BadTensor("scatter",
                     "is not a finite float64 matrix as wide as "
                     "the mean is long");
  }
  FeatureStatistics statistics(dim);
  statistics.count_ = count.item<int64_t>();
  statistics.mean_ = mean.clone();
  statistics.scatter_ = scatter.clone();
  return statistics;
}

}  // namespace retort::eval
