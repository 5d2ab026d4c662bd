#include "core/eval/inception_score.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace retort::eval {

InceptionScore::InceptionScore(int64_t classes, int64_t total, int64_t splits)
    : total_(total), splits_(std::min(splits, total)) {
  RETORT_CHECK(classes >= 2 && splits_ >= 1);
  p_ = at::zeros({splits_, classes}, at::kDouble);
  p_log_p_ = at::zeros({splits_}, at::kDouble);
}

absl::Status InceptionScore::Add(const at::Tensor& logits) {
  if (!logits.defined() || logits.dim() != 2 || logits.size(1) != p_.size(1) ||
      !logits.is_floating_point()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "inception score: expected floating-point logits [n,", p_.size(1),
        "], got ",
        logits.defined() ? c10::str(logits.dtype(), " ", logits.sizes())
                         : "no tensor"));
  }
  if (count_ + logits.size(0) > total_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "inception score: more than the ", total_, " images announced"));
  }
  const at::Tensor rows = logits.detach().to(at::kCPU, at::kDouble);
  if (!at::isfinite(rows).all().item<bool>()) {
    return absl::InvalidArgumentError(
        "inception score: a logit is not finite; the model that made the "
        "images, or the feature extractor, has diverged");
  }
  const at::Tensor log_p = at::log_softmax(rows, 1);
  const at::Tensor p = log_p.exp();
  const at::Tensor p_log_p = (p * log_p).sum(1);
  for (int64_t row = 0; row < rows.size(0);) {
    while (count_ >= Begin(part_ + 1)) ++part_;
    const int64_t n = std::min(rows.size(0) - row, Begin(part_ + 1) - count_);
    p_[part_] += p.narrow(0, row, n).sum(0);
    p_log_p_[part_] += p_log_p.narrow(0, row, n).sum();
    row += n;
    count_ += n;
  }
  return absl::OkStatus();
}

absl::StatusOr<double> InceptionScore::Mean() const {
  if (count_ < total_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "inception score: only ", count_, " of ", total_, " images are there"));
  }
  double sum = 0;
  for (int64_t k = 0; k < splits_; ++k) {
    const auto n = static_cast<double>(Begin(k + 1) - Begin(k));
    const at::Tensor marginal = p_[k] / n;
    // sum_y p(y) log p(y); 0 log 0 = 0.
    const at::Tensor entropy = at::special_entr(marginal).sum();
    const at::Tensor divergence = p_log_p_[k] / n + entropy;
    sum += divergence.exp().item<double>();
  }
  return sum / static_cast<double>(splits_);
}

}  // namespace retort::eval
