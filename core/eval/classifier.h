#ifndef RETORT_CORE_EVAL_CLASSIFIER_H_
#define RETORT_CORE_EVAL_CLASSIFIER_H_

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace retort::eval {

// Shape of a classifier; the defaults are the network whose features give
// FD-FMNIST.
struct ClassifierConfig {
  int64_t resolution = 32;  // images are resolution x resolution
  int64_t channels = 1;     // 1 or 3
  int64_t classes = 10;
  // Output channels of the 3x3 convolutions, 1 to 4096 each. All but
  // the last are followed by a halving of the resolution; the last one's
  // width is the length of the feature vector.
  std::vector<int64_t> widths = {16, 32, 64, 64};

  int64_t feature_dim() const { return widths.back(); }

  // InvalidArgument, naming the field.
  absl::Status Validate() const;

  nlohmann::json ToJson() const;
  // InvalidArgument, naming the field, for an unknown, missing or bad one.
  static absl::StatusOr<ClassifierConfig> FromJson(const nlohmann::json& json);
};

// A small convolutional classifier of images: per width a 3x3 convolution,
// BatchNorm and ReLU, then 2x2 max-pooling but for the last, whose mean over
// the positions is the feature vector; a linear layer reads the classes off
// it. In eval mode an image's features do not depend on the images beside it;
// and, unlike with norms over one image (GroupNorm), they change with an
// image's brightness and contrast, as a measure of image quality needs.
//
// Initial weights are a function of `init_seed` alone, not of LibTorch's
// global generator. float32.
class FmnistClassifierImpl : public torch::nn::Module {
 public:
  // `config` must be valid.
  explicit FmnistClassifierImpl(ClassifierConfig config,
                                uint64_t init_seed = 0);

  // Returns [n,feature_dim] for float images [n,C,H,W] in [-1, 1].
  torch::Tensor Features(const torch::Tensor& images);

  // Returns class logits [n,classes] for what Features() returned.
  torch::Tensor Logits(const torch::Tensor& features);

  // Both: class logits [n,classes] of images.
  torch::Tensor forward(const torch::Tensor& images);

  // Parameters and BatchNorm's buffers by name; they share memory.
  std::map<std::string, at::Tensor> StateDict() const;

  const ClassifierConfig& config() const { return config_; }

 private:
  const ClassifierConfig config_;
  std::vector<torch::nn::Conv2d> convs_;
  std::vector<torch::nn::BatchNorm2d> norms_;
  torch::nn::Linear head_{nullptr};
};
TORCH_MODULE(FmnistClassifier);

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_CLASSIFIER_H_
