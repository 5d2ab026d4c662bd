#ifndef RETORT_CORE_NN_NETWORK_CONFIG_H_
#define RETORT_CORE_NN_NETWORK_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace retort::nn {

// Everything that determines a network's parameters and their shapes, with the
// field names of EDM's code, so that configurations travel both ways. The
// defaults are EDM's own for SongUNet in its DDPM++ form.
struct NetworkConfig {
  std::string model_type = "SongUNet";  // or "DhariwalUNet" (ADM)
  int64_t img_resolution = 32;          // square images
  int64_t img_channels = 3;
  int64_t label_dim = 0;    // number of classes; 0: unconditional
  int64_t augment_dim = 0;  // size of the augmentation label; 0: none

  int64_t model_channels = 128;
  std::vector<int64_t> channel_mult = {1, 2, 2, 2};  // one per resolution
  int64_t channel_mult_emb = 4;  // embedding width, times model_channels
  int64_t num_blocks = 4;        // residual blocks per resolution
  std::vector<int64_t> attn_resolutions = {16};
  double dropout = 0.10;     // in training mode only
  double label_dropout = 0;  // for classifier-free guidance

  // SongUNet only.
  std::string embedding_type = "positional";     // or "fourier" (NCSN++)
  int64_t channel_mult_noise = 1;                // 2 in NCSN++
  std::string encoder_type = "standard";         // "skip", "residual" (NCSN++)
  std::string decoder_type = "standard";         // or "skip"
  std::vector<double> resample_filter = {1, 1};  // {1, 3, 3, 1} in NCSN++

  double sigma_data = 0.5;

  // The network takes a second time s (CTM): map_layer0_s, map_layer1_s, and
  // affine_s in every block.
  bool two_times = false;

  // EDM's defaults for a model type: the fields above for "SongUNet"; for
  // "DhariwalUNet" 192 channels, {1, 2, 3, 4}, 3 blocks, attention at 32,
  // 16, 8. For any other name the type is set and Validate() will refuse it.
  static NetworkConfig Defaults(const std::string& model_type);

  // InvalidArgument names the field, its value and what is allowed, also if a
  // layer's channels do not divide into normalisation groups.
  absl::Status Validate() const;

  nlohmann::json ToJson() const;
  // Keys that are missing keep the model type's defaults; unknown keys, values
  // of the wrong type and configurations that do not validate are
  // InvalidArgument.
  static absl::StatusOr<NetworkConfig> FromJson(const nlohmann::json& json);
};

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_NETWORK_CONFIG_H_
