#ifndef RETORT_SERVER_BASE_NETWORK_SPEC_H_
#define RETORT_SERVER_BASE_NETWORK_SPEC_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/nn/network_config.h"
#include "retort/v1/spec.pb.h"

namespace retort::service {

// Fills the fields that were left out: from the named network if there is a
// `preset`, else with the defaults of retort/v1/spec.proto. InvalidArgument for
// an unknown preset, or one of another model_type than the one given.
absl::Status FillNetworkDefaults(v1::NetworkSpec* spec);

// Returns the network that a spec asks for, for images of this shape; fields
// left out are filled as above. A preset also says whether there is an
// augmentation label. The one translation: the service checks a spec with it,
// and the worker builds what it says. InvalidArgument as
// nn::NetworkConfig::Validate().
absl::StatusOr<nn::NetworkConfig> ToNetworkConfig(const v1::NetworkSpec& spec,
                                                  double sigma_data,
                                                  int64_t resolution,
                                                  int64_t channels,
                                                  int64_t classes);

}  // namespace retort::service

#endif  // RETORT_SERVER_BASE_NETWORK_SPEC_H_
