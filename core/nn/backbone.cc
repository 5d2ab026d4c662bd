#include "core/nn/backbone.h"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"

namespace retort::nn {
namespace {

using LayerKind = BackboneLayer::Kind;

// Simonyan & Zisserman 2015, configuration D. Taps: relu1_2, 2_2, 3_3, 4_3,
// 5_3.
Backbone Vgg16() {
  Backbone net{"vgg16", {}};
  int index = 0;
  int64_t in = 3;
  for (const auto& [out, convolutions] :
       std::initializer_list<std::pair<int64_t, int>>{
           {64, 2}, {128, 2}, {256, 3}, {512, 3}, {512, 3}}) {
    if (index > 0) {
      net.layers.push_back({.kind = LayerKind::kPool,
                            .index = index++,
                            .kernel = 2,
                            .stride = 2});
    }
    for (int i = 1; i <= convolutions; ++i) {
      net.layers.push_back({.index = index,
                            .in = in,
                            .out = out,
                            .padding = 1,
                            .tap = i == convolutions});
      in = out;
      index += 2;  // the ReLU counts
    }
  }
  return net;
}

// Krizhevsky 2014 ("one weird trick"), as torchvision has it. Taps: relu1-5.
Backbone AlexNet() {
  const BackboneLayer kPool = {
      .kind = LayerKind::kPool, .index = 2, .kernel = 3, .stride = 2};
  BackboneLayer second = kPool;
  second.index = 5;
  return {"alexnet",
          {{.index = 0,
            .in = 3,
            .out = 64,
            .kernel = 11,
            .stride = 4,
            .padding = 2,
            .tap = true},
           kPool,
           {.index = 3,
            .in = 64,
            .out = 192,
            .kernel = 5,
            .padding = 2,
            .tap = true},
           second,
           {.index = 6, .in = 192, .out = 384, .padding = 1, .tap = true},
           {.index = 8, .in = 384, .out = 256, .padding = 1, .tap = true},
           {.index = 10, .in = 256, .out = 256, .padding = 1, .tap = true}}};
}

// Iandola et al. 2016, version 1.1. Taps: the first ReLU and fire modules 2, 4,
// 5, 6, 7, 8 of torchvision's eight, counted from 1.
Backbone SqueezeNet() {
  const auto pool = [](int index) {
    return BackboneLayer{.kind = LayerKind::kPool,
                         .index = index,
                         .kernel = 3,
                         .stride = 2,
                         .ceil = true};
  };
  const auto fire = [](int index, int64_t in, int64_t squeeze, int64_t out,
                       bool tap) {
    return BackboneLayer{.kind = LayerKind::kFire,
                         .index = index,
                         .in = in,
                         .squeeze = squeeze,
                         .out = out,
                         .tap = tap};
  };
  return {"squeezenet1_1",
          {{.index = 0, .in = 3, .out = 64, .stride = 2, .tap = true},
           pool(2),
           fire(3, 64, 16, 128, false),
           fire(4, 128, 16, 128, true),
           pool(5),
           fire(6, 128, 32, 256, false),
           fire(7, 256, 32, 256, true),
           pool(8),
           fire(9, 256, 48, 384, true),
           fire(10, 384, 48, 384, true),
           fire(11, 384, 64, 512, true),
           fire(12, 512, 64, 512, true)}};
}

const std::vector<Backbone>& AllBackbones() {
  static const auto* const kBackbones =
      new std::vector<Backbone>{Vgg16(), AlexNet(), SqueezeNet()};
  return *kBackbones;
}

void AddConvolution(const std::string& name, int64_t in, int64_t out,
                    int64_t kernel, TensorShapes* shapes) {
  (*shapes)[name + ".weight"] = {out, in, kernel, kernel};
  (*shapes)[name + ".bias"] = {out};
}

int64_t Elements(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t side : shape) n *= side;
  return n;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// How many of `wanted` are there as they should be.
int64_t Matches(const TensorShapes& wanted, const TensorShapes& shapes) {
  return std::count_if(wanted.begin(), wanted.end(), [&](const auto& item) {
    const auto found = shapes.find(item.first);
    return found != shapes.end() && found->second == item.second;
  });
}

absl::StatusOr<std::string> Recognise(
    const TensorShapes& shapes, const std::string& what,
    const std::function<TensorShapes(const Backbone&)>& wanted) {
  const Backbone* nearest = nullptr;
  int64_t most = 0;
  for (const Backbone& net : AllBackbones()) {
    const TensorShapes all = wanted(net);
    const int64_t matches = Matches(all, shapes);
    if (matches == static_cast<int64_t>(all.size())) return net.name;
    if (matches <= most) continue;
    most = matches;
    nearest = &net;
  }
  if (nearest != nullptr) {
    RETORT_RETURN_IF_ERROR(CheckShapes(absl::StrCat(what, nearest->name),
                                       wanted(*nearest), shapes));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "no tensor of ", what, absl::StrJoin(BackboneNames(), " or "),
      " is there, such as ", wanted(AllBackbones().front()).begin()->first));
}

}  // namespace

absl::StatusOr<Backbone> NamedBackbone(const std::string& name) {
  for (const Backbone& net : AllBackbones()) {
    if (net.name == name) return net;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("backbone \"", name, "\" is unknown; use one of ",
                   absl::StrJoin(BackboneNames(), ", ")));
}

std::vector<std::string> BackboneNames() {
  std::vector<std::string> names;
  for (const Backbone& net : AllBackbones()) names.push_back(net.name);
  return names;
}

int64_t SideAfter(const BackboneLayer& layer, Pooling pooling, int64_t side) {
  switch (layer.kind) {
    case LayerKind::kFire:
      return side;
    case LayerKind::kPool:
      if (pooling == Pooling::kMean) return side / 2;
      break;
    case LayerKind::kConv:
      break;
  }
  const int64_t room = side + 2 * layer.padding - layer.kernel +
                       (layer.ceil ? layer.stride - 1 : 0);
  return room < 0 ? 0 : room / layer.stride + 1;
}

int64_t MinSide(const Backbone& backbone, Pooling pooling) {
  for (int64_t least = 1;; ++least) {
    int64_t side = least;
    for (const BackboneLayer& layer : backbone.layers) {
      side = SideAfter(layer, pooling, side);
      if (side < 1) break;
    }
    if (side >= 1) return least;
  }
}

TensorShapes BackboneShapes(const Backbone& backbone) {
  TensorShapes shapes;
  for (const BackboneLayer& layer : backbone.layers) {
    const std::string name = absl::StrCat("features.", layer.index);
    if (layer.kind == LayerKind::kConv) {
      AddConvolution(name, layer.in, layer.out, layer.kernel, &shapes);
    } else if (layer.kind == LayerKind::kFire) {
      const int64_t half = layer.out / 2;
      AddConvolution(name + ".squeeze", layer.in, layer.squeeze, 1, &shapes);
      AddConvolution(name + ".expand1x1", layer.squeeze, half, 1, &shapes);
      AddConvolution(name + ".expand3x3", layer.squeeze, half, 3, &shapes);
    }
  }
  return shapes;
}

TensorShapes HeadShapes(const Backbone& backbone) {
  TensorShapes shapes;
  for (const BackboneLayer& layer : backbone.layers) {
    if (!layer.tap) continue;
    shapes[absl::StrCat("lin", shapes.size(), ".model.1.weight")] = {
        1, layer.out, 1, 1};
  }
  return shapes;
}

int64_t CountParameters(const Backbone& backbone) {
  int64_t count = 0;
  for (const auto& [name, shape] : BackboneShapes(backbone)) {
    count += Elements(shape);
  }
  return count;
}

int64_t CountOutputs(const Backbone& backbone, Pooling pooling, int64_t side) {
  int64_t count = 0;
  for (const BackboneLayer& layer : backbone.layers) {
    side = SideAfter(layer, pooling, side);
    count += (layer.squeeze + layer.out) * side * side;
  }
  return count;
}

absl::StatusOr<std::string> RecogniseBackbone(const TensorShapes& shapes) {
  return Recognise(shapes, "", BackboneShapes);
}

absl::StatusOr<std::string> RecogniseHeads(const TensorShapes& shapes) {
  return Recognise(shapes, "the heads for ", HeadShapes);
}

absl::Status CheckShapes(const std::string& what, const TensorShapes& wanted,
                         const TensorShapes& shapes) {
  for (const auto& [name, shape] : wanted) {
    const auto found = shapes.find(name);
    if (found == shapes.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          what, ": tensor ", name, " ", ShapeText(shape), " is missing"));
    }
    if (found->second != shape) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, ": tensor ", name, " is ",
                       ShapeText(found->second), ", not ", ShapeText(shape)));
    }
  }
  return absl::OkStatus();
}

}  // namespace retort::nn
