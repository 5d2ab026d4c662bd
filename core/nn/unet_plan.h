#ifndef RETORT_CORE_NN_UNET_PLAN_H_
#define RETORT_CORE_NN_UNET_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/nn/network_config.h"

namespace retort::nn {

// One entry of a U-Net's encoder or decoder.
struct LayerPlan {
  enum class Kind {
    kConv,         // the first convolution
    kBlock,        // residual block
    kAuxDown,      // resampled input image ("skip" encoder)
    kAuxSkip,      // ... added to the features
    kAuxResidual,  // resampled features, added ("residual" encoder)
    kAuxUp,        // resampled output image ("skip" decoder)
    kAuxNorm,      // output: normalisation
    kAuxConv,      // ... and convolution
  };
  std::string name;  // "32x32_block0"
  Kind kind = Kind::kBlock;
  int64_t in = 0;
  int64_t out = 0;
  bool attention = false;
  bool up = false;
  bool down = false;
  bool takes_skip = false;  // its input is joined with an encoder's output
  int64_t side = 0;         // height and width of its output
};

// The layers of a network in order, as data: what the constructor builds, the
// forward pass walks through, and NetworkConfig::Validate() checks.
struct UNetPlan {
  std::vector<LayerPlan> encoder;
  std::vector<LayerPlan> decoder;
  int64_t out_channels = 0;  // of the last block
};

// For config.model_type, which must be one of the two.
UNetPlan PlanUNet(const NetworkConfig& config);

// Groups of a normalisation over so many channels: at most 32, of at least 4
// channels each.
int64_t NormGroups(int64_t channels);

// Attention heads of a block with attention: 1 in SongUNet; channels / 64 in
// DhariwalUNet, which for less than 64 channels means no attention.
int64_t AttentionHeads(const NetworkConfig& config, int64_t channels);

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_UNET_PLAN_H_
