#include "core/train/footprint.h"

#include <algorithm>

#include "core/distill/discriminator.h"
#include "core/nn/network_size.h"

namespace retort::train {
namespace {

constexpr int64_t kFloat = 4;
constexpr int64_t kHalf = 2;
// Resident size of a worker that has loaded LibTorch and run one step of a
// network of no size, on x86-64 with the CPU build.
constexpr int64_t kRuntimeBytes = int64_t{300} << 20;
// Without gradients only the encoder's outputs and a few tensors of the layer
// at work are alive: this part of what training keeps.
constexpr int64_t kInferenceShare = 4;

// Graphs that are alive at once: CTM's gradient goes through two networks.
int64_t Graphs(Method method) { return method == Method::kCtm ? 2 : 1; }

// Sets of gradients at the peak of a step. CTM takes those of both losses, sums
// them, and still holds those of the step before. A discriminator's for the
// student are one more.
int64_t GradientSets(const FootprintOptions& o) {
  return (o.method == Method::kCtm && o.denoising ? 3 : 1) +
         (o.gan_channels > 0 ? 1 : 0);
}

// Of a run of several ranks, what is sent of them: one set for each loss whose
// gradient is needed apart.
int64_t SentSets(const FootprintOptions& o) {
  if (o.ranks < 2) return 0;
  return (o.method == Method::kCtm && o.denoising ? 2 : 1) +
         (o.gan_channels > 0 ? 1 : 0);
}

distill::DiscriminatorConfig DiscriminatorOf(const FootprintOptions& o) {
  return {o.network.img_resolution, o.network.img_channels, o.network.label_dim,
          o.gan_channels};
}

int64_t DiscriminatorParameters(const FootprintOptions& o) {
  return o.gan_channels > 0 ? distill::CountParameters(DiscriminatorOf(o)) : 0;
}

int64_t WeightSets(const FootprintOptions& o) {
  return 1 + o.averages + (o.method == Method::kEdm ? 0 : 1);
}

struct LpipsSize {
  int64_t weights = 0;
  int64_t activations = 0;  // of one image
};

LpipsSize SizeOfLpips(const FootprintOptions& o) {
  const auto net = nn::NamedBackbone(o.lpips_backbone);
  if (o.lpips_side == 0 || !net.ok()) return {};
  // What the convolutions put out, and about as much of the comparison.
  return {nn::CountParameters(*net),
          2 * nn::CountOutputs(*net, o.lpips_pooling, o.lpips_side)};
}

}  // namespace

Footprint EstimateFootprint(const FootprintOptions& o) {
  const int64_t parameters = nn::CountParameters(o.network);
  const int64_t width = o.half ? kHalf : kFloat;
  Footprint f;
  f.weights = kFloat * (WeightSets(o) * parameters + o.teacher_parameters);
  if (o.half) {
    // The backward pass needs the rounded weights of every layer.
    f.weights += kHalf * Graphs(o.method) * parameters;
  }
  const LpipsSize lpips = SizeOfLpips(o);
  f.weights += kFloat * lpips.weights;
  f.gradients = kFloat * (GradientSets(o) + SentSets(o)) * parameters;
  f.optimizer = kFloat * 2 * parameters;
  f.activations =
      o.images * (width * Graphs(o.method) * nn::CountActivations(o.network) +
                  kFloat * lpips.activations);
  if (o.gan_channels > 0) {
    const int64_t d = kFloat * DiscriminatorParameters(o);
    f.weights += d;
    f.gradients += o.ranks > 1 ? 2 * d : d;
    f.optimizer += 2 * d;
    // For the student's gradient; by the discriminator's own, which is taken
    // later, the student's graph is gone.
    f.activations +=
        o.images * kFloat * distill::CountActivations(DiscriminatorOf(o));
  }
  f.runtime = kRuntimeBytes;
  f.checkpoint = CheckpointBytes(o);
  return f;
}

int64_t CheckpointBytes(const FootprintOptions& o) {
  return kFloat * ((WeightSets(o) + 2) * nn::CountParameters(o.network) +
                   3 * DiscriminatorParameters(o));
}

int64_t InferenceBytes(const nn::NetworkConfig& network, int64_t images) {
  return kRuntimeBytes +
         kFloat * (nn::CountParameters(network) +
                   images * nn::CountActivations(network) / kInferenceShare);
}

}  // namespace retort::train
