#ifndef RETORT_CORE_PARITY_NETWORK_SUPPORT_H_
#define RETORT_CORE_PARITY_NETWORK_SUPPORT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/nn/denoiser.h"
#include "core/parity/parity.h"

// Networks of golden cases, for every area's cases.
namespace retort::parity {

// A network configuration from a case's "config": EDM's keys as they are, or
// CTM's ("arch": "ddpmpp" | "ncsnpp" | "adm", two times). Keys that do not
// belong to a network (cls, mode, enc_order, ...) are left out.
absl::StatusOr<nn::NetworkConfig> CaseNetworkConfig(
    const nlohmann::json& config);

// A network in eval mode in `dtype`, loaded (strictly) from a file of the case.
// Weights stored as float16 are exact and are widened. `key_prefix` selects the
// tensors whose names start with it and strips it.
absl::StatusOr<std::shared_ptr<nn::EdmDenoiser>> LoadCaseNetwork(
    CaseContext& context, const nn::NetworkConfig& config,
    const std::string& file, at::ScalarType dtype,
    const std::string& key_prefix = "");

// One-hot float labels in `dtype` from class indices.
at::Tensor OneHot(const at::Tensor& classes, int64_t label_dim,
                  at::ScalarType dtype);

}  // namespace retort::parity

#endif  // RETORT_CORE_PARITY_NETWORK_SUPPORT_H_
