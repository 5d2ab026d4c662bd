#include "server/base/network_spec.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/nn/named_networks.h"

namespace retort::service {
namespace {

// The defaults of spec.proto, which are smaller than EDM's.
nn::NetworkConfig Small(const std::string& model_type) {
  nn::NetworkConfig c =
      nn::NetworkConfig::Defaults(model_type.empty() ? "SongUNet" : model_type);
  c.model_channels = 32;
  c.channel_mult = {1, 2, 2};
  c.num_blocks = 1;
  c.attn_resolutions.clear();
  c.dropout = 0;
  return c;
}

absl::StatusOr<nn::NetworkConfig> Base(const v1::NetworkSpec& spec) {
  if (spec.preset().empty()) return Small(spec.model_type());
  RETORT_ASSIGN_OR_RETURN(nn::NetworkConfig named,
                          nn::NamedNetwork(spec.preset()));
  if (!spec.model_type().empty() && spec.model_type() != named.model_type) {
    return absl::InvalidArgumentError(absl::StrCat(
        "network: model_type is ", spec.model_type(), ", but preset ",
        spec.preset(), " is a ", named.model_type, "; leave model_type out"));
  }
  return named;
}

// Zero or empty means left out.
#define RETORT_FILL(field, value) \
  if (spec->field() == 0) spec->set_##field(value)

void FillFrom(const nn::NetworkConfig& base, v1::NetworkSpec* spec) {
  const auto text = [](std::string* field, const std::string& value) {
    if (field->empty()) *field = value;
  };
  const auto list = [](auto* field, const auto& values) {
    if (field->empty()) field->Add(values.begin(), values.end());
  };
  text(spec->mutable_model_type(), base.model_type);
  text(spec->mutable_embedding_type(), base.embedding_type);
  text(spec->mutable_encoder_type(), base.encoder_type);
  text(spec->mutable_decoder_type(), base.decoder_type);
  list(spec->mutable_channel_mult(), base.channel_mult);
  list(spec->mutable_attn_resolutions(), base.attn_resolutions);
  list(spec->mutable_resample_filter(), base.resample_filter);
  RETORT_FILL(model_channels, base.model_channels);
  RETORT_FILL(num_blocks, base.num_blocks);
  RETORT_FILL(channel_mult_noise, base.channel_mult_noise);
  RETORT_FILL(channel_mult_emb, base.channel_mult_emb);
  RETORT_FILL(dropout, base.dropout);
  RETORT_FILL(label_dropout, base.label_dropout);
}

#undef RETORT_FILL

}  // namespace

absl::Status FillNetworkDefaults(v1::NetworkSpec* spec) {
  RETORT_ASSIGN_OR_RETURN(const nn::NetworkConfig base, Base(*spec));
  FillFrom(base, spec);
  return absl::OkStatus();
}

absl::StatusOr<nn::NetworkConfig> ToNetworkConfig(const v1::NetworkSpec& given,
                                                  double sigma_data,
                                                  int64_t resolution,
                                                  int64_t channels,
                                                  int64_t classes) {
  RETORT_ASSIGN_OR_RETURN(nn::NetworkConfig config, Base(given));
  v1::NetworkSpec spec = given;
  FillFrom(config, &spec);
  config.img_resolution = resolution;
  config.img_channels = channels;
  config.label_dim = classes;
  config.model_type = spec.model_type();
  config.model_channels = spec.model_channels();
  config.channel_mult.assign(spec.channel_mult().begin(),
                             spec.channel_mult().end());
  config.num_blocks = spec.num_blocks();
  config.attn_resolutions.assign(spec.attn_resolutions().begin(),
                                 spec.attn_resolutions().end());
  config.dropout = spec.dropout();
  config.label_dropout = spec.label_dropout();
  config.channel_mult_emb = spec.channel_mult_emb();
  if (config.model_type == "SongUNet") {
    config.embedding_type = spec.embedding_type();
    config.encoder_type = spec.encoder_type();
    config.decoder_type = spec.decoder_type();
    config.resample_filter.assign(spec.resample_filter().begin(),
                                  spec.resample_filter().end());
    config.channel_mult_noise = spec.channel_mult_noise();
  }
  config.sigma_data = sigma_data;
  RETORT_RETURN_IF_ERROR(config.Validate());
  return config;
}

}  // namespace retort::service
