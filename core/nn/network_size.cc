#include "core/nn/network_size.h"

#include "core/nn/unet_plan.h"

namespace retort::nn {
namespace {

using Kind = LayerPlan::Kind;

int64_t Affine(int64_t in, int64_t out) { return in * out + out; }

int64_t Convolution(int64_t in, int64_t out, int64_t kernel) {
  return kernel == 0 ? 0 : in * out * kernel * kernel + out;
}

// What both networks have in common is told apart by their model type.
class Sizes {
 public:
  explicit Sizes(const NetworkConfig& c)
      : c_(c),
        song_(c.model_type == "SongUNet"),
        noise_(c.model_channels * (song_ ? c.channel_mult_noise : 1)),
        emb_(c.model_channels * c.channel_mult_emb),
        plan_(PlanUNet(c)) {}

  int64_t Parameters() const {
    int64_t n = c_.augment_dim * noise_;
    if (c_.label_dim > 0) {
      n += song_ ? Affine(c_.label_dim, noise_) : c_.label_dim * emb_;
    }
    n += (c_.two_times ? 2 : 1) * (Affine(noise_, emb_) + Affine(emb_, emb_));
    for (const auto* layers : {&plan_.encoder, &plan_.decoder}) {
      for (const LayerPlan& layer : *layers) n += LayerParameters(layer);
    }
    if (song_) return n;
    return n + 2 * plan_.out_channels +
           Convolution(plan_.out_channels, c_.img_channels, 3);
  }

  int64_t Activations() const {
    int64_t n = 0;
    for (const auto* layers : {&plan_.encoder, &plan_.decoder}) {
      for (const LayerPlan& layer : *layers) n += LayerActivations(layer);
    }
    const int64_t pixels = c_.img_resolution * c_.img_resolution;
    // The last normalisation's input and output, and the convolution's input.
    return n + 3 * plan_.out_channels * pixels;
  }

 private:
  int64_t LayerParameters(const LayerPlan& layer) const {
    switch (layer.kind) {
      case Kind::kBlock:
        return BlockParameters(layer);
      case Kind::kAuxNorm:
        return 2 * layer.in;
      case Kind::kAuxSkip:
        return Convolution(layer.in, layer.out, 1);
      case Kind::kAuxDown:
      case Kind::kAuxUp:
        return 0;
      default:
        return Convolution(layer.in, layer.out, 3);
    }
  }

  bool Attends(const LayerPlan& layer) const {
    return layer.attention && AttentionHeads(c_, layer.out) > 0;
  }

  int64_t BlockParameters(const LayerPlan& l) const {
    int64_t n = 2 * l.in + Convolution(l.in, l.out, 3);
    // ADM modulates by a scale and a shift, SongUNet adds.
    n += (c_.two_times ? 2 : 1) * Affine(emb_, song_ ? l.out : 2 * l.out);
    n += 2 * l.out + Convolution(l.out, l.out, 3);
    if (l.in != l.out || ((l.up || l.down) && song_)) {
      n += Convolution(l.in, l.out, 1);
    }
    if (Attends(l)) {
      n += 2 * l.out + Convolution(l.out, 3 * l.out, 1) +
           Convolution(l.out, l.out, 1);
    }
    return n;
  }

  int64_t LayerActivations(const LayerPlan& l) const {
    const int64_t pixels = l.side * l.side;
    const int64_t in_pixels =
        l.down ? 4 * pixels : (l.up ? pixels / 4 : pixels);
    if (l.kind != Kind::kBlock) return l.in * in_pixels;
    // Input, its normalisation, and what conv0 (and the skip) are given.
    int64_t n = 2 * l.in * in_pixels;
    n += l.in * (l.up || l.down ? 2 * pixels : pixels);
    // conv0's output, its normalisation, modulation, nonlinearity, dropout.
    n += l.out * pixels * (song_ ? 3 : 4);
    if (c_.dropout > 0) n += 2 * l.out * pixels;
    if (Attends(l)) {
      // Input, norm, q, k, v, scaled k, result; weights of every pair.
      n += 7 * l.out * pixels;
      n += AttentionHeads(c_, l.out) * pixels * pixels;
    }
    return n;
  }

  const NetworkConfig& c_;
  const bool song_;
  const int64_t noise_;
  const int64_t emb_;
  const UNetPlan plan_;
};

}  // namespace

int64_t CountParameters(const NetworkConfig& config) {
  return Sizes(config).Parameters();
}

int64_t CountActivations(const NetworkConfig& config) {
  return Sizes(config).Activations();
}

}  // namespace retort::nn
