#include "server/base/network_spec.h"

#include <string>

#include "core/base/status_macros.h"

namespace retort::service {
namespace {

// Zero or empty means the default.
template <typename T>
T Or(T value, T fallback) {
  return value == T() ? fallback : value;
}

}  // namespace

absl::StatusOr<nn::NetworkConfig> ToNetworkConfig(const v1::NetworkSpec& spec,
                                                  double sigma_data,
                                                  int64_t resolution,
                                                  int64_t channels,
                                                  int64_t classes) {
  nn::NetworkConfig config = nn::NetworkConfig::Defaults(
      Or<std::string>(spec.model_type(), "SongUNet"));
  config.img_resolution = resolution;
  config.img_channels = channels;
  config.label_dim = classes;
  config.model_channels = Or(spec.model_channels(), 32);
  config.channel_mult.assign(spec.channel_mult().begin(),
                             spec.channel_mult().end());
  if (config.channel_mult.empty()) config.channel_mult = {1, 2, 2};
  config.num_blocks = Or(spec.num_blocks(), 1);
  config.attn_resolutions.assign(spec.attn_resolutions().begin(),
                                 spec.attn_resolutions().end());
  config.dropout = spec.dropout();
  config.label_dropout = spec.label_dropout();
  config.channel_mult_emb = Or(spec.channel_mult_emb(), 4);
  if (config.model_type == "SongUNet") {
    config.embedding_type =
        Or<std::string>(spec.embedding_type(), "positional");
    config.encoder_type = Or<std::string>(spec.encoder_type(), "standard");
    config.decoder_type = Or<std::string>(spec.decoder_type(), "standard");
    config.resample_filter.assign(spec.resample_filter().begin(),
                                  spec.resample_filter().end());
    if (config.resample_filter.empty()) config.resample_filter = {1, 1};
    config.channel_mult_noise = Or(spec.channel_mult_noise(), 1);
  }
  config.sigma_data = sigma_data;
  RETORT_RETURN_IF_ERROR(config.Validate());
  return config;
}

}  // namespace retort::service
