#ifndef RETORT_SERVER_BASE_NETWORK_SPEC_H_
#define RETORT_SERVER_BASE_NETWORK_SPEC_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/nn/network_config.h"
#include "retort/v1/spec.pb.h"

namespace retort::service {

// Returns the network that a spec asks for, for images of this shape; fields
// left out get the defaults of retort/v1/spec.proto. The one translation: the
// service checks a spec with it, and the worker builds what it says.
// InvalidArgument as nn::NetworkConfig::Validate().
absl::StatusOr<nn::NetworkConfig> ToNetworkConfig(const v1::NetworkSpec& spec,
                                                  double sigma_data,
                                                  int64_t resolution,
                                                  int64_t channels,
                                                  int64_t classes);

}  // namespace retort::service

#endif  // RETORT_SERVER_BASE_NETWORK_SPEC_H_
