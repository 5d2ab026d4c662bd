#include "core/nn/network_config.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/nn/unet_plan.h"

namespace retort::nn {
namespace {

constexpr int64_t kMaxChannels = 1 << 16;
constexpr int64_t kMaxLevels = 12;

// Calls visit(name, member) for every field; the one list of all fields.
template <typename Config, typename Visitor>
void ForEachField(Config& c, const Visitor& visit) {
  visit("model_type", c.model_type);
  visit("img_resolution", c.img_resolution);
  visit("img_channels", c.img_channels);
  visit("label_dim", c.label_dim);
  visit("augment_dim", c.augment_dim);
  visit("model_channels", c.model_channels);
  visit("channel_mult", c.channel_mult);
  visit("channel_mult_emb", c.channel_mult_emb);
  visit("num_blocks", c.num_blocks);
  visit("attn_resolutions", c.attn_resolutions);
  visit("dropout", c.dropout);
  visit("label_dropout", c.label_dropout);
  visit("embedding_type", c.embedding_type);
  visit("channel_mult_noise", c.channel_mult_noise);
  visit("encoder_type", c.encoder_type);
  visit("decoder_type", c.decoder_type);
  visit("resample_filter", c.resample_filter);
  visit("sigma_data", c.sigma_data);
  visit("two_times", c.two_times);
}

bool IsSongOnly(const std::string& field) {
  return field == "embedding_type" || field == "channel_mult_noise" ||
         field == "encoder_type" || field == "decoder_type" ||
         field == "resample_filter";
}

template <typename T>
absl::Status Invalid(absl::string_view field, const T& value,
                     absl::string_view allowed) {
  return absl::InvalidArgumentError(absl::StrCat(
      "network: ", field, " is ", value, "; it must be ", allowed));
}

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t low,
                        int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return Invalid(field, value, absl::StrCat("in [", low, ", ", high, "]"));
}

absl::Status CheckWord(absl::string_view field, const std::string& value,
                       std::initializer_list<const char*> words) {
  for (const char* word : words) {
    if (value == word) return absl::OkStatus();
  }
  return Invalid(field, absl::StrCat("\"", value, "\""),
                 absl::StrCat("one of ", absl::StrJoin(words, ", ")));
}

absl::Status CheckShape(const NetworkConfig& c) {
  RETORT_RETURN_IF_ERROR(
      CheckRange("img_resolution", c.img_resolution, 1, 8192));
  RETORT_RETURN_IF_ERROR(CheckRange("img_channels", c.img_channels, 1, 1024));
  RETORT_RETURN_IF_ERROR(CheckRange("label_dim", c.label_dim, 0, 1000000));
  RETORT_RETURN_IF_ERROR(CheckRange("augment_dim", c.augment_dim, 0, 1024));
  RETORT_RETURN_IF_ERROR(
      CheckRange("model_channels", c.model_channels, 4, kMaxChannels));
  RETORT_RETURN_IF_ERROR(
      CheckRange("channel_mult_emb", c.channel_mult_emb, 1, 64));
  RETORT_RETURN_IF_ERROR(
      CheckRange("channel_mult_noise", c.channel_mult_noise, 1, 64));
  RETORT_RETURN_IF_ERROR(CheckRange("num_blocks", c.num_blocks, 1, 64));
  const int64_t levels = static_cast<int64_t>(c.channel_mult.size());
  RETORT_RETURN_IF_ERROR(
      CheckRange("the number of channel_mult entries", levels, 1, kMaxLevels));
  for (const int64_t mult : c.channel_mult) {
    RETORT_RETURN_IF_ERROR(CheckRange("a channel_mult entry", mult, 1, 64));
  }
  const int64_t factor = int64_t{1} << (levels - 1);
  if (c.img_resolution % factor != 0) {
    return Invalid(
        "img_resolution", c.img_resolution,
        absl::StrCat("divisible by ", factor, " since ", levels,
                     " channel_mult entries halve it ", levels - 1, " times"));
  }
  return absl::OkStatus();
}

absl::Status CheckNumbers(const NetworkConfig& c) {
  if (!(c.dropout >= 0 && c.dropout < 1)) {
    return Invalid("dropout", c.dropout, "in [0, 1)");
  }
  if (!(c.label_dropout >= 0 && c.label_dropout < 1)) {
    return Invalid("label_dropout", c.label_dropout, "in [0, 1)");
  }
  if (!(c.sigma_data > 0) || !std::isfinite(c.sigma_data)) {
    return Invalid("sigma_data", c.sigma_data, "positive");
  }
  double sum = 0;
  for (const double tap : c.resample_filter) sum += tap;
  const size_t taps = c.resample_filter.size();
  if (taps < 2 || taps > 16 || taps % 2 != 0 || !std::isfinite(sum) ||
      sum == 0) {
    return Invalid(
        "resample_filter",
        absl::StrCat("[", absl::StrJoin(c.resample_filter, ", "), "]"),
        "an even number (2 to 16) of finite taps whose sum is not "
        "0, such as [1, 1] or [1, 3, 3, 1]");
  }
  return absl::OkStatus();
}

absl::Status CheckGroups(const NetworkConfig& c) {
  const UNetPlan plan = PlanUNet(c);
  for (const auto* layers : {&plan.encoder, &plan.decoder}) {
    for (const LayerPlan& layer : *layers) {
      if (layer.kind != LayerPlan::Kind::kBlock) continue;
      for (const int64_t channels : {layer.in, layer.out}) {
        const int64_t groups = NormGroups(channels);
        if (channels % groups == 0) continue;
        return absl::InvalidArgumentError(absl::StrCat(
            "network: layer ", layer.name, " has ", channels,
            " channels, which do not divide into ", groups,
            " normalisation groups; choose model_channels and channel_mult so "
            "that widths are multiples of 4 up to 128 and of 32 beyond"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

NetworkConfig NetworkConfig::Defaults(const std::string& model_type) {
  NetworkConfig c;
  c.model_type = model_type;
  if (model_type == "DhariwalUNet") {
    c.model_channels = 192;
    c.channel_mult = {1, 2, 3, 4};
    c.num_blocks = 3;
    c.attn_resolutions = {32, 16, 8};
  }
  return c;
}

absl::Status NetworkConfig::Validate() const {
  RETORT_RETURN_IF_ERROR(
      CheckWord("model_type", model_type, {"SongUNet", "DhariwalUNet"}));
  RETORT_RETURN_IF_ERROR(
      CheckWord("embedding_type", embedding_type, {"positional", "fourier"}));
  RETORT_RETURN_IF_ERROR(CheckWord("encoder_type", encoder_type,
                                   {"standard", "skip", "residual"}));
  RETORT_RETURN_IF_ERROR(
      CheckWord("decoder_type", decoder_type, {"standard", "skip"}));
  RETORT_RETURN_IF_ERROR(CheckShape(*this));
  RETORT_RETURN_IF_ERROR(CheckNumbers(*this));
  if (model_type == "DhariwalUNet") {
    // ADM has none of SongUNet's choices; a value that would be ignored is a
    // mistake.
    const NetworkConfig d = Defaults(model_type);
    if (embedding_type != d.embedding_type || encoder_type != d.encoder_type ||
        decoder_type != d.decoder_type ||
        channel_mult_noise != d.channel_mult_noise ||
        resample_filter != d.resample_filter) {
      return absl::InvalidArgumentError(
          "network: embedding_type, channel_mult_noise, encoder_type, "
          "decoder_type and resample_filter belong to SongUNet; leave them out "
          "for DhariwalUNet");
    }
  }
  return CheckGroups(*this);
}

nlohmann::json NetworkConfig::ToJson() const {
  nlohmann::json json = nlohmann::json::object();
  ForEachField(*this, [&](const char* name, const auto& value) {
    if (model_type == "DhariwalUNet" && IsSongOnly(name)) return;
    json[name] = value;
  });
  return json;
}

absl::StatusOr<NetworkConfig> NetworkConfig::FromJson(
    const nlohmann::json& json) {
  if (!json.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "network: expected a JSON object, found ", json.type_name()));
  }
  NetworkConfig c;
  const auto type = json.find("model_type");
  if (type != json.end() && type->is_string()) {
    c = Defaults(type->get<std::string>());
  }
  size_t known = 0;
  absl::Status status;
  ForEachField(c, [&](const char* name, auto& value) {
    const auto it = json.find(name);
    if (it == json.end()) return;
    ++known;
    // A number with a fraction would be cut off in silence.
    const bool lossy = std::is_same_v<std::decay_t<decltype(value)>, int64_t> &&
                       !it->is_number_integer();
    try {
      it->get_to(value);
    } catch (const nlohmann::json::exception&) {
      status.Update(Invalid(name, it->dump(), "of the documented type"));
      return;
    }
    if (lossy) status.Update(Invalid(name, it->dump(), "an integer"));
  });
  RETORT_RETURN_IF_ERROR(status);
  if (known < json.size()) {
    NetworkConfig probe;
    for (const auto& [key, value] : json.items()) {
      bool found = false;
      ForEachField(probe, [&](const char* name, const auto&) {
        found = found || key == name;
      });
      if (!found) {
        return absl::InvalidArgumentError(
            absl::StrCat("network: unknown key \"", key, "\""));
      }
    }
  }
  RETORT_RETURN_IF_ERROR(c.Validate());
  return c;
}

}  // namespace retort::nn
