#include "core/nn/dhariwal_unet.h"

#include <cmath>
#include <string>

namespace retort::nn {
namespace {

constexpr double kAdmEps = 1e-5;
constexpr LayerInit kAdmInitZero = {InitMode::kKaimingUniform, 0, 0};

LayerInit AdmInit() {
  const double gain = std::sqrt(1.0 / 3);
  return {InitMode::kKaimingUniform, gain, gain};
}

UNetBlockStyle AdmStyle(const NetworkConfig& config) {
  UNetBlockStyle style;
  style.emb_channels = config.model_channels * config.channel_mult_emb;
  style.dropout = config.dropout;
  style.eps = kAdmEps;
  style.two_times = config.two_times;
  style.init = AdmInit();
  style.init_zero = kAdmInitZero;
  style.init_attention = AdmInit();
  return style;
}

}  // namespace

DhariwalUNet::DhariwalUNet(const NetworkConfig& config, WeightInit& draw)
    : config_(config) {
  const int64_t noise = config.model_channels;
  const int64_t emb = config.model_channels * config.channel_mult_emb;
  const auto linear = [&](const std::string& name, int64_t in, int64_t out,
                          const LayerInit& init, bool bias = true) {
    return register_module(name,
                           std::make_shared<Linear>(in, out, init, draw, bias));
  };
  map_noise_ = register_module(
      "map_noise", std::make_shared<PositionalEmbedding>(
                       noise, /*endpoint=*/false, SinusoidOrder::kCosineFirst));
  if (config.augment_dim > 0) {
    map_augment_ =
        linear("map_augment", config.augment_dim, noise, kAdmInitZero, false);
  }
  map_layer0_ = linear("map_layer0", noise, emb, AdmInit());
  map_layer1_ = linear("map_layer1", emb, emb, AdmInit());
  if (const int64_t n = config.label_dim; n > 0) {
    map_label_ = linear(
        "map_label", n, emb,
        {InitMode::kKaimingNormal, std::sqrt(static_cast<double>(n))}, false);
  }
  if (config.two_times) {
    map_layer0_s_ = linear("map_layer0_s", noise, emb, AdmInit());
    map_layer1_s_ = linear("map_layer1_s", emb, emb, AdmInit());
  }
  const UNetPlan plan = PlanUNet(config);
  encoder_ = Build(plan.encoder, "enc", draw);
  decoder_ = Build(plan.decoder, "dec", draw);
  out_norm_ = register_module(
      "out_norm", std::make_shared<GroupNorm>(plan.out_channels, kAdmEps));
  out_conv_ = register_module(
      "out_conv", std::make_shared<Conv2d>(
                      Conv2dOptions{plan.out_channels, config.img_channels},
                      kAdmInitZero, draw));
}

std::vector<DhariwalUNet::Layer> DhariwalUNet::Build(
    const std::vector<LayerPlan>& plans, const char* name, WeightInit& draw) {
  const auto folder =
      register_module(name, std::make_shared<torch::nn::Module>(name));
  const UNetBlockStyle style = AdmStyle(config_);
  std::vector<Layer> layers;
  for (const LayerPlan& plan : plans) {
    Layer layer{plan, nullptr, nullptr};
    if (plan.kind == LayerPlan::Kind::kBlock) {
      layer.block = folder->register_module(
          plan.name, std::make_shared<UNetBlock>(
                         plan, style, AttentionHeads(config_, plan.out), draw));
    } else {
      layer.conv = folder->register_module(
          plan.name, std::make_shared<Conv2d>(Conv2dOptions{plan.in, plan.out},
                                              AdmInit(), draw));
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

at::Tensor DhariwalUNet::LabelTerm(const at::Tensor& labels,
                                   int64_t batch) const {
  if (!map_label_) return {};
  if (!is_training() || config_.label_dropout == 0) {
    return map_label_->Forward(labels);
  }
  return map_label_->Forward(
      labels * (at::rand({batch, 1}, labels.options()) >= config_.label_dropout)
                   .to(labels.scalar_type()));
}

at::Tensor DhariwalUNet::Embed(const at::Tensor& c_noise,
                               const at::Tensor& label_term,
                               const at::Tensor& augment, const Linear& layer0,
                               const Linear& layer1) const {
  at::Tensor emb = map_noise_->Forward(c_noise);
  if (map_augment_ && augment.defined()) {
    emb = emb + map_augment_->Forward(augment);
  }
  emb = layer1.Forward(Silu(layer0.Forward(emb)));
  if (label_term.defined()) emb = emb + label_term;
  return Silu(emb);
}

at::Tensor DhariwalUNet::Forward(const at::Tensor& image,
                                 const UNetInputs& in) {
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
  for (const Layer& layer : encoder_) {
    x = layer.block ? layer.block->Forward(x, emb, emb_s)
                    : layer.conv->Forward(x);
    skips.push_back(x);
  }
  for (const Layer& layer : decoder_) {
    if (layer.plan.takes_skip) {
      x = at::cat({x, skips.back()}, 1);
      skips.pop_back();
    }
    x = layer.block->Forward(x, emb, emb_s);
  }
  return out_conv_->Forward(Silu(out_norm_->Forward(x)));
}

const at::Tensor& DhariwalUNet::LastLayerWeight() const {
  return out_conv_->weight();
}

}  // namespace retort::nn
