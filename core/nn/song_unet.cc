#include "core/nn/song_unet.h"

#include <cmath>
#include <string>

namespace retort::nn {
namespace {

using Kind = LayerPlan::Kind;

constexpr LayerInit kSongInit = {InitMode::kXavierUniform};
// Not quite zero, so that attention and residuals get a gradient at once.
constexpr LayerInit kSongInitZero = {InitMode::kXavierUniform, 1e-5};
constexpr double kSongEps = 1e-6;

UNetBlockStyle SongStyle(const NetworkConfig& config) {
  UNetBlockStyle style;
  style.emb_channels = config.model_channels * config.channel_mult_emb;
  style.dropout = config.dropout;
  style.skip_scale = std::sqrt(0.5);
  style.eps = kSongEps;
  style.resample_filter = config.resample_filter;
  style.resample_proj = true;
  style.adaptive_scale = false;
  style.two_times = config.two_times;
  style.init = kSongInit;
  style.init_zero = kSongInitZero;
  style.init_attention = {InitMode::kXavierUniform, std::sqrt(0.2)};
  return style;
}

Conv2dOptions SongConv(const LayerPlan& plan, const NetworkConfig& config) {
  Conv2dOptions options{plan.in, plan.out,  3,
                        plan.up, plan.down, config.resample_filter};
  if (plan.kind == Kind::kAuxDown || plan.kind == Kind::kAuxUp) {
    options.kernel = 0;
  } else if (plan.kind == Kind::kAuxSkip) {
    options.kernel = 1;
  }
  options.fused_resample = plan.kind == Kind::kAuxResidual;
  return options;
}

}  // namespace

SongUNet::SongUNet(const NetworkConfig& config, WeightInit& draw)
    : config_(config) {
  const int64_t noise = config.model_channels * config.channel_mult_noise;
  const int64_t emb = config.model_channels * config.channel_mult_emb;
  const auto linear = [&](const std::string& name, int64_t in, int64_t out,
                          bool bias = true) {
    return register_module(
        name, std::make_shared<Linear>(in, out, kSongInit, draw, bias));
  };
  if (config.embedding_type == "positional") {
    map_noise_ = std::make_shared<PositionalEmbedding>(
        noise, /*endpoint=*/true, SinusoidOrder::kSineFirst);
  } else {
    map_noise_ = std::make_shared<FourierEmbedding>(
        noise, SinusoidOrder::kSineFirst, draw);
  }
  register_module("map_noise", map_noise_);
  if (config.label_dim > 0) {
    map_label_ = linear("map_label", config.label_dim, noise);
  }
  if (config.augment_dim > 0) {
    map_augment_ = linear("map_augment", config.augment_dim, noise, false);
  }
  map_layer0_ = linear("map_layer0", noise, emb);
  map_layer1_ = linear("map_layer1", emb, emb);
  if (config.two_times) {
    map_layer0_s_ = linear("map_layer0_s", noise, emb);
    map_layer1_s_ = linear("map_layer1_s", emb, emb);
  }
  const UNetPlan plan = PlanUNet(config);
  encoder_ = Build(plan.encoder, "enc", draw);
  decoder_ = Build(plan.decoder, "dec", draw);
}

std::vector<SongUNet::Layer> SongUNet::Build(
    const std::vector<LayerPlan>& plans, const char* name, WeightInit& draw) {
  const auto folder =
      register_module(name, std::make_shared<torch::nn::Module>(name));
  const UNetBlockStyle style = SongStyle(config_);
  std::vector<Layer> layers;
  for (const LayerPlan& plan : plans) {
    Layer layer{plan, nullptr, nullptr, nullptr};
    if (plan.kind == Kind::kBlock) {
      layer.block = folder->register_module(
          plan.name, std::make_shared<UNetBlock>(
                         plan, style, AttentionHeads(config_, plan.out), draw));
    } else if (plan.kind == Kind::kAuxNorm) {
      layer.norm = folder->register_module(
          plan.name, std::make_shared<GroupNorm>(plan.in, kSongEps));
    } else {
      layer.conv = folder->register_module(
          plan.name,
          std::make_shared<Conv2d>(
              SongConv(plan, config_),
              plan.kind == Kind::kAuxConv ? kSongInitZero : kSongInit, draw));
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

at::Tensor SongUNet::LabelTerm(const at::Tensor& labels, int64_t batch) const {
  if (!map_label_) return {};
  at::Tensor y = labels;
  if (is_training() && config_.label_dropout > 0) {
    y = y * (at::rand({batch, 1}, y.options()) >= config_.label_dropout)
                .to(y.scalar_type());
  }
  // Keeps the variance of one-hot labels independent of their number.
  return map_label_->Forward(y *
                             std::sqrt(static_cast<double>(config_.label_dim)));
}

at::Tensor SongUNet::Embed(const at::Tensor& c_noise,
                           const at::Tensor& label_term,
                           const at::Tensor& augment, const Linear& layer0,
                           const Linear& layer1) const {
  at::Tensor emb = map_noise_->Forward(c_noise);
  if (label_term.defined()) emb = emb + label_term;
  if (map_augment_ && augment.defined()) {
    emb = emb + map_augment_->Forward(augment);
  }
  return Silu(layer1.Forward(Silu(layer0.Forward(emb))));
}

at::Tensor SongUNet::Forward(const at::Tensor& image, const UNetInputs& in) {
  const at::Tensor label = LabelTerm(in.labels, image.size(0));
  const at::Tensor emb =
      Embed(in.c_noise, label, in.augment, *map_layer0_, *map_layer1_);
  at::Tensor emb_s;
  if (map_layer0_s_ && in.c_noise_s.defined()) {
    emb_s =
        Embed(in.c_noise_s, label, in.augment, *map_layer0_s_, *map_layer1_s_);
  }
  std::vector<at::Tensor> skips;
  at::Tensor x = image;
  at::Tensor aux = image;
  for (const Layer& layer : encoder_) {
    switch (layer.plan.kind) {
      case Kind::kAuxDown:
        aux = layer.conv->Forward(aux);
        break;
      case Kind::kAuxSkip:
        x = skips.back() = x + layer.conv->Forward(aux);
        break;
      case Kind::kAuxResidual:
        x = (x + layer.conv->Forward(aux)) * std::sqrt(0.5);
        skips.back() = aux = x;
        break;
      default:
        x = layer.block ? layer.block->Forward(x, emb, emb_s)
                        : layer.conv->Forward(x);
        skips.push_back(x);
    }
  }
  at::Tensor out;
  at::Tensor normed;
  for (const Layer& layer : decoder_) {
    switch (layer.plan.kind) {
      case Kind::kAuxUp:
        out = layer.conv->Forward(out);
        break;
      case Kind::kAuxNorm:
        normed = layer.norm->Forward(x);
        break;
      case Kind::kAuxConv: {
        const at::Tensor y = layer.conv->Forward(Silu(normed));
        out = out.defined() ? y + out : y;
        break;
      }
      default:
        if (layer.plan.takes_skip) {
          x = at::cat({x, skips.back()}, 1);
          skips.pop_back();
        }
        x = layer.block->Forward(x, emb, emb_s);
    }
  }
  return out;
}

const at::Tensor& SongUNet::LastLayerWeight() const {
  return decoder_.back().conv->weight();
}

}  // namespace retort::nn
