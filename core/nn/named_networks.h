#ifndef RETORT_CORE_NN_NAMED_NETWORKS_H_
#define RETORT_CORE_NN_NAMED_NETWORKS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/nn/network_config.h"

// The networks of EDM's released models (Karras et al. 2022, appendix F.2,
// tables 7 and 8), by name:
//
//   ddpmpp-cifar10   CIFAR-10, VP column   55.7 million parameters
//   ncsnpp-cifar10   CIFAR-10, VE column
//   ddpmpp-64        FFHQ and AFHQv2 64x64, VP column
//   ncsnpp-64        FFHQ and AFHQv2 64x64, VE column
//   adm-imagenet64   ImageNet 64x64        296 million parameters
namespace retort::nn {

// Returns a network in full, for 3 channels: CIFAR-10's and ImageNet's for
// their 10 and 1000 classes (label_dim 0 makes the unconditional one), all but
// ImageNet's with an augmentation label of 9 numbers. AFHQv2's differs from
// FFHQ's, which this gives, in its dropout alone: 0.25. InvalidArgument, with
// all names, for another name.
absl::StatusOr<NetworkConfig> NamedNetwork(const std::string& name);

// All names, in the order of the list above.
std::vector<std::string> NetworkNames();

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_NAMED_NETWORKS_H_
