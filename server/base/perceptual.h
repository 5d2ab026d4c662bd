#ifndef RETORT_SERVER_BASE_PERCEPTUAL_H_
#define RETORT_SERVER_BASE_PERCEPTUAL_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// Models of kind PERCEPTUAL, told by the names and shapes of their tensors:
// the halves of LPIPS (core/nn/backbone.h).
namespace retort::service {

inline constexpr char kHeadsType[] = "lpips-heads";

// What stands in such a model's manifest as `network`: {"type": "vgg16"} (or
// "alexnet", "squeezenet1_1") for a backbone, {"type": "lpips-heads",
// "backbone": "vgg16"} for heads, {} for anything else.
nlohmann::json PerceptualNetwork(
    const std::map<std::string, std::vector<int64_t>>& shapes);

// The smallest side of images that LPIPS on `backbone` compares, with mean or
// maximum pooling; 0 for a name that is no backbone's.
int64_t PerceptualMinSide(const std::string& backbone, bool mean_pooling);

// "vgg16, alexnet or squeezenet1_1".
std::string PerceptualBackbones();

}  // namespace retort::service

#endif  // RETORT_SERVER_BASE_PERCEPTUAL_H_
