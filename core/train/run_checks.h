#ifndef RETORT_CORE_TRAIN_RUN_CHECKS_H_
#define RETORT_CORE_TRAIN_RUN_CHECKS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "core/data/dataset.h"
#include "core/nn/network_config.h"
#include "core/train/train_options.h"

// Whether the parts of a run fit each other. InvalidArgument, with the remedy.
namespace retort::train {

absl::Status CheckData(const data::Dataset& dataset,
                       const nn::NetworkConfig& net);

absl::Status CheckAugmentation(const TrainOptions& options,
                               const nn::NetworkConfig& net);

// Whether a batch can be cut into the parts of so many ranks.
absl::Status CheckRanks(const TrainOptions& options, int64_t ranks);

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_RUN_CHECKS_H_
