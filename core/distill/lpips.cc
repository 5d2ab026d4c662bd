#include "core/distill/lpips.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace retort::distill {
namespace {

using nn::BackboneLayer;
using LayerKind = BackboneLayer::Kind;

nn::TensorShapes ShapesOf(const Lpips::TensorMap& tensors) {
  nn::TensorShapes shapes;
  for (const auto& [name, tensor] : tensors) {
    shapes[name] = tensor.sizes().vec();
  }
  return shapes;
}

// Of the tensors that are used.
absl::Status CheckFloats(const nn::TensorShapes& used,
                         const Lpips::TensorMap& tensors) {
  for (const auto& [name, shape] : used) {
    const at::Tensor& tensor = tensors.at(name);
    if (tensor.is_floating_point()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("lpips: tensor ", name, " is of ",
                     c10::toString(tensor.scalar_type()), "; give floats"));
  }
  return absl::OkStatus();
}

// Frozen, and float32 whatever they are stored as.
at::Tensor Weight(const Lpips::TensorMap& tensors, const std::string& name) {
  return tensors.at(name).detach().to(at::kFloat);
}

at::Tensor ByChannel(std::initializer_list<float> values, at::Device device) {
  return at::tensor(values, at::kFloat).view({1, 3, 1, 1}).to(device);
}

at::Tensor Unit(const at::Tensor& f) {
  // Of features whose squares vanish the root has no gradient: the least normal
  // number, which is nothing beside 1e-10, stands in.
  constexpr double kTiny = std::numeric_limits<float>::min();
  const at::Tensor norm = f.square().sum(1, true).clamp_min(kTiny).sqrt();
  return f / (norm + 1e-10);
}

at::Tensor As(const at::Tensor& weight, const at::Tensor& x) {
  return weight.to(x.device(), x.scalar_type());
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Lpips>> Lpips::Create(
    const LpipsOptions& options, const TensorMap& backbone,
    const TensorMap& heads) {
  const nn::TensorShapes given = ShapesOf(backbone);
  std::string name = options.backbone;
  if (name.empty()) {
    RETORT_ASSIGN_OR_RETURN(name, nn::RecogniseBackbone(given));
  }
  RETORT_ASSIGN_OR_RETURN(nn::Backbone net, nn::NamedBackbone(name));
  const nn::TensorShapes tensors = nn::BackboneShapes(net);
  const nn::TensorShapes channels = nn::HeadShapes(net);
  RETORT_RETURN_IF_ERROR(nn::CheckShapes(name, tensors, given));
  RETORT_RETURN_IF_ERROR(nn::CheckShapes(absl::StrCat("the heads for ", name),
                                         channels, ShapesOf(heads)));
  RETORT_RETURN_IF_ERROR(CheckFloats(tensors, backbone));
  RETORT_RETURN_IF_ERROR(CheckFloats(channels, heads));
  auto lpips = std::shared_ptr<Lpips>(new Lpips(options, std::move(net)));
  const auto convolution = [&backbone](const std::string& layer) {
    return Convolution{Weight(backbone, layer + ".weight"),
                       Weight(backbone, layer + ".bias")};
  };
  for (const BackboneLayer& layer : lpips->backbone_.layers) {
    const std::string at = absl::StrCat("features.", layer.index);
    std::vector<Convolution>& here = lpips->layers_.emplace_back();
    if (layer.kind == LayerKind::kConv) {
      here = {convolution(at)};
    } else if (layer.kind == LayerKind::kFire) {
      here = {convolution(at + ".squeeze"), convolution(at + ".expand1x1"),
              convolution(at + ".expand3x3")};
    }
  }
  for (size_t i = 0; i < channels.size(); ++i) {
    lpips->heads_.push_back(
        Weight(heads, absl::StrCat("lin", i, ".model.1.weight")));
  }
  const at::Device device = lpips->heads_.front().device();
  if (options.input == LpipsOptions::Input::kSigned) {
    lpips->shift_ = ByChannel({-.030f, -.088f, -.188f}, device);
    lpips->scale_ = ByChannel({.458f, .448f, .450f}, device);
  } else {
    lpips->shift_ = ByChannel({.485f, .456f, .406f}, device);
    lpips->scale_ = ByChannel({.229f, .224f, .225f}, device);
  }
  return std::shared_ptr<const Lpips>(std::move(lpips));
}

Lpips::Lpips(const LpipsOptions& options, nn::Backbone backbone)
    : options_(options), backbone_(std::move(backbone)) {}

at::Tensor Lpips::ToInput(const at::Tensor& images) const {
  const at::ScalarType dtype =
      images.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  // One channel becomes three here.
  const at::Tensor x = images.to(dtype);
  return (x - As(shift_, x)) / As(scale_, x);
}

at::Tensor Lpips::Pool(const BackboneLayer& layer, const at::Tensor& x) const {
  if (options_.pooling == nn::Pooling::kMean) {
    return at::avg_pool2d(x, {2, 2}, {2, 2});
  }
  return at::max_pool2d(x, {layer.kernel, layer.kernel},
                        {layer.stride, layer.stride}, /*padding=*/0,
                        /*dilation=*/1, layer.ceil);
}

std::vector<at::Tensor> Lpips::Features(const at::Tensor& images) const {
  const auto convolve = [](const Convolution& c, const at::Tensor& x,
                           int64_t stride, int64_t padding) {
    return at::conv2d(x, As(c.weight, x), As(c.bias, x), {stride, stride},
                      {padding, padding})
        .relu_();
  };
  at::Tensor x = ToInput(images);
  std::vector<at::Tensor> taps;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const BackboneLayer& layer = backbone_.layers[i];
    const std::vector<Convolution>& c = layers_[i];
    switch (layer.kind) {
      case LayerKind::kPool:
        x = Pool(layer, x);
        break;
      case LayerKind::kConv:
        x = convolve(c[0], x, layer.stride, layer.padding);
        break;
      case LayerKind::kFire: {
        const at::Tensor squeezed = convolve(c[0], x, 1, 0);
        x = at::cat(
            {convolve(c[1], squeezed, 1, 0), convolve(c[2], squeezed, 1, 1)},
            1);
        break;
      }
    }
    if (layer.tap) taps.push_back(x);
  }
  return taps;
}

at::Tensor Lpips::PerLayer(const at::Tensor& a, const at::Tensor& b) const {
  for (const at::Tensor& x : {a, b}) {
    TORCH_CHECK(x.dim() == 4 && x.sizes() == a.sizes(), "lpips: images are ",
                a.sizes(), " and ", b.sizes(), "; give [n, c, h, w], twice");
    const absl::Status fits =
        CheckImages(x.size(1), std::min(x.size(2), x.size(3)));
    TORCH_CHECK(fits.ok(), fits.message());
  }
  const std::vector<at::Tensor> f = Features(a), g = Features(b);
  std::vector<at::Tensor> terms;
  for (size_t l = 0; l < f.size(); ++l) {
    // Zhang et al., Eq. 1.
    const at::Tensor difference = Unit(f[l]) - Unit(g[l]);
    terms.push_back((difference.square() * As(heads_[l], difference))
                        .sum(1)
                        .flatten(1)
                        .mean(1));
  }
  return at::stack(terms, 1).to(a.scalar_type());
}

at::Tensor Lpips::PerSample(const at::Tensor& a, const at::Tensor& b) const {
  return PerLayer(a, b).sum(1);
}

absl::Status Lpips::CheckImages(int64_t channels, int64_t side) const {
  if (channels != 1 && channels != 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("lpips: images have ", channels,
                     " channels, and a classifier sees 1 or 3; choose another "
                     "distance"));
  }
  const int64_t least = nn::MinSide(backbone_, options_.pooling);
  if (side >= least) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("lpips: ", backbone_.name, " takes images of ", least,
                   " pixels a side or more, these have ", side,
                   "; resize them, to 224 as the authors of CM do"));
}

int64_t LpipsMinSide(const std::string& backbone, nn::Pooling pooling) {
  const auto net = nn::NamedBackbone(backbone);
  return net.ok() ? nn::MinSide(*net, pooling) : 0;
}

}  // namespace retort::distill
