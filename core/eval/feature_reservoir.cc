#include "core/eval/feature_reservoir.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/math/counter_random.h"

namespace retort::eval {
namespace {

// Rows to make room for at first; then twice as many each time.
constexpr int64_t kFirstRows = 1024;

}  // namespace

FeatureReservoir::FeatureReservoir(int64_t dim, int64_t capacity, uint64_t seed)
    : capacity_(capacity), seed_(seed) {
  RETORT_CHECK(dim >= 1 && capacity >= 1);
  rows_ = at::empty({std::min(capacity, kFirstRows), dim}, at::kFloat);
}

int64_t FeatureReservoir::PlaceFor(int64_t index) {
  const math::Stream stream =
      math::MakeStream(seed_, math::RandomStream::kEvaluation, 1);
  const uint64_t key = math::Hash64(stream, static_cast<uint64_t>(index));
  if (index < capacity_) {
    heap_.emplace_back(key, index);
    std::push_heap(heap_.begin(), heap_.end());
    index_of_.push_back(index);
    return index;
  }
  if (key >= heap_.front().first) return -1;
  std::pop_heap(heap_.begin(), heap_.end());
  const int64_t row = heap_.back().second;
  heap_.back().first = key;
  std::push_heap(heap_.begin(), heap_.end());
  index_of_[row] = index;
  return row;
}

absl::Status FeatureReservoir::Add(const at::Tensor& features) {
  if (!features.defined() || features.dim() != 2 ||
      features.size(1) != rows_.size(1) || !features.is_floating_point()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "kept features: expected floating-point features [n,", rows_.size(1),
        "], got ",
        features.defined() ? c10::str(features.dtype(), " ", features.sizes())
                           : "no tensor"));
  }
  const at::Tensor added = features.detach().to(at::kCPU, at::kFloat);
  if (!at::isfinite(added).all().item<bool>()) {
    return absl::InvalidArgumentError(
        "kept features: a feature is not finite; the model that made the "
        "images, or the feature extractor, has diverged");
  }
  for (int64_t i = 0; i < added.size(0); ++i) {
    const int64_t row = PlaceFor(count_++);
    if (row < 0) continue;
    if (row >= rows_.size(0)) {
      const int64_t more = std::min(capacity_, 2 * rows_.size(0));
      at::Tensor grown = at::empty({more, rows_.size(1)}, at::kFloat);
      grown.narrow(0, 0, rows_.size(0)).copy_(rows_);
      rows_ = grown;
    }
    rows_[row].copy_(added[i]);
  }
  return absl::OkStatus();
}

at::Tensor FeatureReservoir::Kept() const {
  std::vector<int64_t> order(index_of_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [this](int64_t a, int64_t b) {
    return index_of_[a] < index_of_[b];
  });
  return rows_.index_select(0, at::tensor(order, at::kLong));
}

}  // namespace retort::eval
