#ifndef RETORT_CORE_NN_UNET_H_
#define RETORT_CORE_NN_UNET_H_

#include <torch/nn/module.h>

namespace retort::nn {

// What a raw network is given beside its input image.
struct UNetInputs {
  at::Tensor c_noise;    // [n] or [1]
  at::Tensor c_noise_s;  // undefined: no second time
  at::Tensor labels;     // [n or 1, label_dim]; undefined if label_dim is 0
  at::Tensor augment;    // [n, augment_dim] or undefined
};

// A raw network F: SongUNet or DhariwalUNet.
class UNet : public torch::nn::Module {
 public:
  virtual at::Tensor Forward(const at::Tensor& x, const UNetInputs& in) = 0;

  // Weight of the convolution that makes the output.
  virtual const at::Tensor& LastLayerWeight() const = 0;
};

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_UNET_H_
