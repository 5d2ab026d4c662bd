#ifndef RETORT_CORE_NN_BACKBONE_H_
#define RETORT_CORE_NN_BACKBONE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

// The classifiers that LPIPS compares images with (Zhang et al. 2018), as far
// as it needs them: layers, and names and shapes of their tensors. Without
// LibTorch, so that the service can tell what a file of weights is;
// core/distill/lpips runs them.
namespace retort::nn {

// Names of tensors with their shapes.
using TensorShapes = std::map<std::string, std::vector<int64_t>>;

struct BackboneLayer {
  enum class Kind {
    kConv,  // a convolution and a ReLU
    kFire,  // SqueezeNet's: a 1x1 convolution that squeezes, then a 1x1 and a
            // 3x3 one side by side; a ReLU after each
    kPool,
  };
  Kind kind = Kind::kConv;
  int index = 0;        // in torchvision's `features`
  int64_t in = 0;       // channels; 0 for kPool
  int64_t squeeze = 0;  // channels between; kFire only
  int64_t out = 0;      // channels; 0 for kPool
  int64_t kernel = 3;
  int64_t stride = 1;
  int64_t padding = 0;
  bool ceil = false;  // kPool: a window that is cut off counts too
  bool tap = false;   // LPIPS compares what this layer puts out
};

struct Backbone {
  std::string name;  // torchvision's: "vgg16"
  std::vector<BackboneLayer> layers;
};

// The layers up to the last one that is looked at of "vgg16", "alexnet" or
// "squeezenet1_1" (torchvision's constructors). InvalidArgument, with all
// names, for another name.
absl::StatusOr<Backbone> NamedBackbone(const std::string& name);
std::vector<std::string> BackboneNames();

// What pooling layers do: their own maximum, or a mean over 2x2 pixels in steps
// of 2 in its place (piq.LPIPS(replace_pooling=True), the CM authors' choice).
enum class Pooling { kMax, kMean };

// The side that an image of side `side` has after `layer`; 0 or less if it is
// too small for it.
int64_t SideAfter(const BackboneLayer& layer, Pooling pooling, int64_t side);

// The smallest side of images that all layers take.
int64_t MinSide(const Backbone& backbone, Pooling pooling);

// The layers' tensors in torchvision's names: "features.0.weight".
TensorShapes BackboneShapes(const Backbone& backbone);

// The weights of the channels that are compared, in the names of the PyPI
// package lpips: "lin0.model.1.weight" [1, channels, 1, 1].
TensorShapes HeadShapes(const Backbone& backbone);

// Numbers of all weights, and of all that the convolutions put out for one
// image of side `side`.
int64_t CountParameters(const Backbone& backbone);
int64_t CountOutputs(const Backbone& backbone, Pooling pooling, int64_t side);

// The backbone whose tensors are all among `shapes` (others are passed over: a
// whole classifier is fine), or whose heads are. InvalidArgument names the
// first tensor that is missing or of another shape, of the backbone that is
// nearest.
absl::StatusOr<std::string> RecogniseBackbone(const TensorShapes& shapes);
absl::StatusOr<std::string> RecogniseHeads(const TensorShapes& shapes);

// OK if all of `wanted` are in `shapes`, else InvalidArgument as above. `what`
// is a noun phrase: "vgg16".
absl::Status CheckShapes(const std::string& what, const TensorShapes& wanted,
                         const TensorShapes& shapes);

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_BACKBONE_H_
