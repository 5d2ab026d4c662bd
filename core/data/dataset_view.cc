#include "core/data/dataset_view.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace retort::data {
namespace {

// A number in [0, max] as NumPy's legacy generator draws it: bits that do not
// fit are drawn again. `max` fits in 32 bits.
uint64_t DrawUpTo(uint64_t max, std::mt19937* random) {
  uint64_t mask = max;
  for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
  uint64_t value;
  do {
    value = (*random)() & mask;
  } while (value > max);
  return value;
}

class DatasetView : public Dataset {
 public:
  DatasetView(std::unique_ptr<Dataset> base, std::vector<int64_t> chosen,
              const ViewOptions& options)
      : base_(std::move(base)),
        chosen_(std::move(chosen)),
        mirror_(options.mirror),
        hash_(base::Sha256Hex(absl::StrCat(
            base_->manifest_hash(), " ", chosen_.size(), " of ", base_->size(),
            " by ", Choosing() ? options.seed % (1u << 31) : 0,
            mirror_ ? " mirrored" : "", "\n"))) {}

  std::string name() const override { return base_->name(); }
  int64_t size() const override { return count() * (mirror_ ? 2 : 1); }
  int64_t channels() const override { return base_->channels(); }
  int64_t resolution() const override { return base_->resolution(); }
  int64_t label_dim() const override { return base_->label_dim(); }
  std::string manifest_hash() const override { return hash_; }

  absl::Status Get(absl::Span<const int64_t> indices, at::Tensor* images,
                   at::Tensor* labels) const override {
    std::vector<int64_t> inner;
    std::vector<int64_t> mirrored;
    for (size_t i = 0; i < indices.size(); ++i) {
      if (indices[i] < 0 || indices[i] >= size()) {
        return absl::OutOfRangeError(absl::StrCat("index ", indices[i],
                                                  " is not in [0, ", size(),
                                                  ") of data set ", name()));
      }
      if (indices[i] >= count()) mirrored.push_back(i);
      inner.push_back(chosen_[indices[i] % count()]);
    }
    RETORT_RETURN_IF_ERROR(base_->Get(inner, images, labels));
    for (const int64_t i : mirrored) {
      at::Tensor image = images->select(0, i);
      image.copy_(image.flip(-1));
    }
    return absl::OkStatus();
  }

 private:
  int64_t count() const { return static_cast<int64_t>(chosen_.size()); }
  bool Choosing() const { return count() < base_->size(); }

  const std::unique_ptr<Dataset> base_;
  const std::vector<int64_t> chosen_;
  const bool mirror_;
  const std::string hash_;
};

}  // namespace

std::vector<int64_t> ChooseSubset(int64_t size, int64_t count, uint64_t seed) {
  std::vector<int64_t> all(size);
  std::iota(all.begin(), all.end(), int64_t{0});
  if (count >= size) return all;
  std::mt19937 random(static_cast<uint32_t>(seed % (uint64_t{1} << 31)));
  for (int64_t i = size - 1; i > 0; --i) {
    std::swap(all[i], all[DrawUpTo(i, &random)]);
  }
  all.resize(count);
  std::sort(all.begin(), all.end());
  return all;
}

absl::StatusOr<std::unique_ptr<Dataset>> MakeView(
    std::unique_ptr<Dataset> dataset, const ViewOptions& options) {
  if (options.max_images < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_images is ", options.max_images, "; it must be 0 (all) or more"));
  }
  const int64_t size = dataset->size();
  const bool choose = options.max_images > 0 && options.max_images < size;
  if (!choose && !options.mirror) return dataset;
  std::vector<int64_t> chosen =
      ChooseSubset(size, choose ? options.max_images : size, options.seed);
  std::unique_ptr<Dataset> view = std::make_unique<DatasetView>(
      std::move(dataset), std::move(chosen), options);
  return view;
}

}  // namespace retort::data
