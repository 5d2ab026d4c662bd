#ifndef RETORT_CORE_NN_NETWORK_SIZE_H_
#define RETORT_CORE_NN_NETWORK_SIZE_H_

#include <cstdint>

#include "core/nn/network_config.h"

// How large a network is, from its plan alone: nothing is allocated.
// `config` must validate.
namespace retort::nn {

// Numbers that are trained: exactly EdmDenoiser::NumParameters().
int64_t CountParameters(const NetworkConfig& config);

// Numbers that a forward pass over one image leaves in memory for the backward
// pass, in training mode: inputs of normalisations, nonlinearities,
// convolutions and products, dropout masks, attention weights. What a layer
// needs only while it computes is not in it. An estimate, within some 10 %.
int64_t CountActivations(const NetworkConfig& config);

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_NETWORK_SIZE_H_
