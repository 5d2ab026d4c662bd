#include "core/nn/unet_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace retort::nn {
namespace {

using Kind = LayerPlan::Kind;

// Follows the channels through encoder and decoder while it writes the layers
// down. What differs between the two model types hangs on `song_`.
class Planner {
 public:
  explicit Planner(const NetworkConfig& config)
      : c_(config), song_(config.model_type == "SongUNet") {}

  UNetPlan Run() {
    const int64_t levels = static_cast<int64_t>(c_.channel_mult.size());
    channels_ = c_.img_channels;
    aux_ = c_.img_channels;
    for (int64_t level = 0; level < levels; ++level) EncoderLevel(level);
    for (int64_t level = levels - 1; level >= 0; --level) {
      DecoderLevel(level, level == levels - 1);
    }
    plan_.out_channels = channels_;
    return std::move(plan_);
  }

 private:
  bool HasAttention(int64_t res) const {
    return std::find(c_.attn_resolutions.begin(), c_.attn_resolutions.end(),
                     res) != c_.attn_resolutions.end();
  }

  static LayerPlan Layer(int64_t res, const std::string& suffix, Kind kind,
                         int64_t in, int64_t out, bool attention = false) {
    LayerPlan layer;
    layer.name = absl::StrCat(res, "x", res, "_", suffix);
    layer.kind = kind;
    layer.in = in;
    layer.out = out;
    layer.attention = attention;
    layer.side = res;
    return layer;
  }

  void Encode(LayerPlan layer) {
    channels_ = layer.out;
    skips_.push_back(layer.out);
    plan_.encoder.push_back(std::move(layer));
  }

  void Decode(LayerPlan layer) {
    channels_ = layer.out;
    plan_.decoder.push_back(std::move(layer));
  }

  void EncoderLevel(int64_t level) {
    const int64_t res = c_.img_resolution >> level;
    const int64_t width = c_.model_channels * c_.channel_mult[level];
    if (level == 0) {
      Encode(Layer(res, "conv", Kind::kConv, channels_,
                   song_ ? c_.model_channels : width));
    } else {
      LayerPlan down = Layer(res, "down", Kind::kBlock, channels_, channels_);
      down.down = true;
      Encode(down);
      if (song_) EncoderAux(res);
    }
    for (int64_t i = 0; i < c_.num_blocks; ++i) {
      Encode(Layer(res, absl::StrCat("block", i), Kind::kBlock, channels_,
                   width, HasAttention(res)));
    }
  }

  void EncoderAux(int64_t res) {
    if (c_.encoder_type == "skip") {
      LayerPlan down = Layer(res, "aux_down", Kind::kAuxDown, aux_, aux_);
      down.down = true;
      plan_.encoder.push_back(down);
      plan_.encoder.push_back(
          Layer(res, "aux_skip", Kind::kAuxSkip, aux_, channels_));
    } else if (c_.encoder_type == "residual") {
      LayerPlan residual =
          Layer(res, "aux_residual", Kind::kAuxResidual, aux_, channels_);
      residual.down = true;
      plan_.encoder.push_back(residual);
      aux_ = channels_;
    }
  }

  void DecoderLevel(int64_t level, bool deepest) {
    const int64_t res = c_.img_resolution >> level;
    const int64_t width = c_.model_channels * c_.channel_mult[level];
    if (deepest) {
      Decode(Layer(res, "in0", Kind::kBlock, channels_, channels_, true));
      Decode(Layer(res, "in1", Kind::kBlock, channels_, channels_));
    } else {
      LayerPlan up = Layer(res, "up", Kind::kBlock, channels_, channels_);
      up.up = true;
      Decode(up);
    }
    for (int64_t i = 0; i <= c_.num_blocks; ++i) {
      LayerPlan block = Layer(res, absl::StrCat("block", i), Kind::kBlock,
                              channels_ + skips_.back(), width);
      skips_.pop_back();
      // SongUNet attends once per resolution on the way up.
      block.attention = HasAttention(res) && (!song_ || i == c_.num_blocks);
      block.takes_skip = true;
      Decode(block);
    }
    if (song_ && (c_.decoder_type == "skip" || level == 0)) {
      DecoderAux(res, deepest);
    }
  }

  void DecoderAux(int64_t res, bool deepest) {
    const int64_t image = c_.img_channels;
    if (c_.decoder_type == "skip" && !deepest) {
      LayerPlan up = Layer(res, "aux_up", Kind::kAuxUp, image, image);
      up.up = true;
      plan_.decoder.push_back(up);
    }
    plan_.decoder.push_back(
        Layer(res, "aux_norm", Kind::kAuxNorm, channels_, channels_));
    plan_.decoder.push_back(
        Layer(res, "aux_conv", Kind::kAuxConv, channels_, image));
  }

  const NetworkConfig& c_;
  const bool song_;
  UNetPlan plan_;
  int64_t channels_ = 0;
  int64_t aux_ = 0;
  std::vector<int64_t> skips_;
};

}  // namespace

UNetPlan PlanUNet(const NetworkConfig& config) { return Planner(config).Run(); }

int64_t NormGroups(int64_t channels) {
  return std::min<int64_t>(32, channels / 4);
}

int64_t AttentionHeads(const NetworkConfig& config, int64_t channels) {
  return config.model_type == "SongUNet" ? 1 : channels / 64;
}

}  // namespace retort::nn
