#ifndef RETORT_CORE_DISTILL_LPIPS_H_
#define RETORT_CORE_DISTILL_LPIPS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/distill/distance.h"
#include "core/nn/backbone.h"

namespace retort::distill {

struct LpipsOptions {
  // What the images that are given are, and how they become the backbone's
  // input. The two are the same map but for the rounding of its constants.
  enum class Input {
    kSigned,  // in [-1, 1], as the PyPI package lpips takes them
    kUnit,    // in [0, 1], as piq takes them: ImageNet's mean and deviation
  };

  // "vgg16", "alexnet", "squeezenet1_1"; empty: the one whose tensors are
  // given.
  std::string backbone = "";
  // kMean with kUnit is piq.LPIPS(replace_pooling=True), which the authors of
  // CM and CTM train with; kMax with kSigned is the package lpips.
  nn::Pooling pooling = nn::Pooling::kMean;
  Input input = Input::kUnit;
};

// LPIPS, the learned perceptual distance (Zhang et al. 2018, Eq. 1): features
// of a classifier, each pixel's divided by its norm over the channels,
// compared by squared differences that are weighted by channel:
//
//   d(a, b) = sum_l 1/(H_l W_l) sum_hw | w_l * (y_l(a) - y_l(b))_hw |^2,
//   y = f / (|f| + 1e-10).
//
// (w_l^2 are the heads that the package lpips holds.) Images are [n, 3, h, w],
// or [n, 1, h, w]: one channel counts as three equal ones.
//
// Computes in float32, or in float64 for images in float64; half precision is
// widened, and the distance rounded back. The weights are frozen: the gradient
// passes to both images. Immutable and thread-safe.
class Lpips : public Distance {
 public:
  using TensorMap = std::map<std::string, at::Tensor>;

  // `backbone` has a classifier's tensors in torchvision's names
  // ("features.0.weight"; what else there is is passed over), `heads` those of
  // the package lpips ("lin0.model.1.weight"). They are kept as float32 on the
  // device where they are, and shared, not copied, if they are float32.
  // InvalidArgument names the first tensor that is missing, of another shape or
  // no float, the backbone that is unknown, or the heads that are another's.
  static absl::StatusOr<std::shared_ptr<const Lpips>> Create(
      const LpipsOptions& options, const TensorMap& backbone,
      const TensorMap& heads);

  // Throws c10::Error for images that CheckImages refuses.
  at::Tensor PerSample(const at::Tensor& a, const at::Tensor& b) const override;

  // The terms of the sum, [n, layers].
  at::Tensor PerLayer(const at::Tensor& a, const at::Tensor& b) const;

  absl::Status CheckImages(int64_t channels, int64_t side) const override;
  std::string name() const override { return "lpips"; }

  const nn::Backbone& backbone() const { return backbone_; }

 private:
  struct Convolution {
    at::Tensor weight, bias;
  };

  Lpips(const LpipsOptions& options, nn::Backbone backbone);

  std::vector<at::Tensor> Features(const at::Tensor& images) const;
  at::Tensor ToInput(const at::Tensor& images) const;
  at::Tensor Pool(const nn::BackboneLayer& layer, const at::Tensor& x) const;

  const LpipsOptions options_;
  const nn::Backbone backbone_;
  std::vector<std::vector<Convolution>> layers_;  // 0, 1 or 3 of a layer
  std::vector<at::Tensor> heads_;                 // [1, channels, 1, 1]
  at::Tensor shift_, scale_;                      // [1, 3, 1, 1]
};

// The smallest side of images that LPIPS on this backbone takes; 0 if there is
// no such backbone.
int64_t LpipsMinSide(const std::string& backbone, nn::Pooling pooling);

}  // namespace retort::distill

#endif  // RETORT_CORE_DISTILL_LPIPS_H_
