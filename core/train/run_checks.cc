#include "core/train/run_checks.h"

#include "absl/strings/str_cat.h"
#include "core/data/augment.h"

namespace retort::train {

absl::Status CheckData(const data::Dataset& dataset,
                       const nn::NetworkConfig& net) {
  if (dataset.resolution() != net.img_resolution ||
      dataset.channels() != net.img_channels) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data set ", dataset.name(), " has ", dataset.channels(), " x ",
        dataset.resolution(), "^2 images, the network takes ", net.img_channels,
        " x ", net.img_resolution,
        "^2; set img_channels and img_resolution to the data's"));
  }
  if (net.label_dim != 0 && net.label_dim != dataset.label_dim()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data set ", dataset.name(), " has ", dataset.label_dim(),
        " classes, the network ", net.label_dim,
        "; set label_dim to the data's, or 0 for an unconditional network"));
  }
  return absl::OkStatus();
}

absl::Status CheckAugmentation(const TrainOptions& options,
                               const nn::NetworkConfig& net) {
  const int64_t wanted =
      data::AugmentLabelDim(data::EdmAugmentation(options.augment_probability));
  if (options.augment_probability == 0 || net.augment_dim == wanted) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "augmentation tells the network ", wanted, " numbers, and it takes ",
      net.augment_dim, "; set augment_dim to ", wanted));
}

absl::Status CheckRanks(const TrainOptions& options, int64_t ranks) {
  if (options.batch_size % (ranks * options.accumulation) == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "batch_size is ", options.batch_size, ", which ", ranks, " ranks of ",
      options.accumulation, " part(s) each do not divide; use a multiple of ",
      ranks * options.accumulation));
}

}  // namespace retort::train
