#ifndef RETORT_CORE_DATA_DATASET_VIEW_H_
#define RETORT_CORE_DATA_DATASET_VIEW_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/dataset.h"

namespace retort::data {

// Which images of a data set are used, with the meaning and the results of
// EDM's max_size, random_seed and xflip.
struct ViewOptions {
  int64_t max_images = 0;  // 0, or more than there are: all
  uint64_t seed = 0;       // of the choice
  // Every image is there a second time, mirrored: index n + i is the mirror
  // image of index i.
  bool mirror = false;
};

// Returns `dataset`, or a view of part of it, with a manifest_hash() of its
// own. InvalidArgument for a negative max_images.
absl::StatusOr<std::unique_ptr<Dataset>> MakeView(
    std::unique_ptr<Dataset> dataset, const ViewOptions& options);

// Returns the `count` of [0, size) that NumPy's
// RandomState(seed % 2^31).shuffle(arange(size)) puts first, in ascending
// order: what EDM chooses. All if `count` is not below `size`.
std::vector<int64_t> ChooseSubset(int64_t size, int64_t count, uint64_t seed);

}  // namespace retort::data

#endif  // RETORT_CORE_DATA_DATASET_VIEW_H_
