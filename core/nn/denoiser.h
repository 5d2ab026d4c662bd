#ifndef RETORT_CORE_NN_DENOISER_H_
#define RETORT_CORE_NN_DENOISER_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "core/nn/network_config.h"
#include "core/nn/unet.h"

namespace retort::nn {

// EDM's denoiser: the raw network F and the scalars around it,
//   D(x, sigma) = c_skip x + c_out F(c_in x, c_noise).
// Teacher and student are both this class; a student of CTM has
// config.two_times, and then D(x, t, s).
//
// Parameters and buffers have the names of EDM's (and CTM's) own code, such as
// "model.enc.32x32_block0.conv0.weight", in the same order, so that weights
// travel both ways.
//
//   auto net = CreateDenoiser(config, seed);
//   RETORT_RETURN_IF_ERROR(net->LoadStateDict(tensors));
//   net->eval();
//   Tensor d = net->Denoise(x, sigma, labels);
//
// Computes in the dtype of its parameters (float32, or float64 after
// to(at::kDouble)); set_compute_dtype() makes the U-Net alone run in half or
// bfloat16 from float32 parameters. Forward calls throw c10::Error on shapes
// that do not fit. Concurrent forward calls are safe in eval mode.
class EdmDenoiser : public torch::nn::Module {
 public:
  using StateDictMap = std::map<std::string, at::Tensor>;

  // `config` must validate. Use CreateDenoiser().
  EdmDenoiser(const NetworkConfig& config, std::optional<uint64_t> init_seed);

  // The raw network F on an input that is already scaled by c_in. `c_noise`
  // is [n] or [1], in the parameters' dtype; `labels` float [n, label_dim]
  // (one-hot), undefined for "no class" (zeros); `augment` [n, augment_dim] or
  // undefined; `c_noise_s` undefined leaves the second time out.
  at::Tensor Raw(const at::Tensor& x, const at::Tensor& c_noise,
                 const at::Tensor& labels = {}, const at::Tensor& augment = {},
                 const at::Tensor& c_noise_s = {});

  // D(x, sigma) or D(x, sigma, s). `x` [n, C, H, W] of any floating dtype,
  // `sigma` and `s` float64 [n] (or one number for all); the scalars are
  // computed in float64 and then cast. Labels as in Raw; ignored if label_dim
  // is 0. s is ignored by a network without two_times. Returns the parameters'
  // dtype.
  at::Tensor Denoise(const at::Tensor& x, const at::Tensor& sigma,
                     const at::Tensor& labels = {},
                     const at::Tensor& augment = {}, const at::Tensor& s = {});

  // All parameters and buffers by name. They share the network's memory.
  StateDictMap StateDict() const;

  // Copies tensors of any floating dtype into the network: all, or none and an
  // InvalidArgument that names the first tensor that is missing, unexpected (if
  // `strict`), or of another shape or an integer type, with expected and actual
  // shape. Resampling filters must equal the configuration's.
  absl::Status LoadStateDict(const StateDictMap& tensors, bool strict = true);

  // Weight of the last convolution, for CTM's adaptive weight (CTM, Eq. 12).
  const at::Tensor& LastLayerWeight() const;

  const NetworkConfig& config() const { return config_; }
  at::ScalarType dtype() const;
  at::Device device() const;
  int64_t NumParameters() const;

  // dtype of the U-Net's activations: float32 (default), float16 or bfloat16.
  // Time embeddings, softmax and the output combination stay float32.
  void set_compute_dtype(at::ScalarType dtype) { compute_dtype_ = dtype; }
  at::ScalarType compute_dtype() const { return compute_dtype_; }

 private:
  const NetworkConfig config_;
  at::ScalarType compute_dtype_ = at::kFloat;
  std::shared_ptr<UNet> model_;
};

// A network with EDM's initial weights, a pure function of (config, seed), in
// training mode; without a seed its weights are zero until they are loaded.
// `config` must validate.
std::shared_ptr<EdmDenoiser> CreateDenoiser(const NetworkConfig& config,
                                            std::optional<uint64_t> init_seed);

// A deep copy: same configuration, dtype, device, training mode and values,
// no shared memory. requires_grad is kept.
std::shared_ptr<EdmDenoiser> CloneDenoiser(const EdmDenoiser& net);

// Copies the teacher's weights into a student, by name. What only the student
// has (the layers of its second time) keeps its initial values; a teacher's
// map_augment may be missing in the student. Anything else that does not match
// is an InvalidArgument that names the tensor; then nothing was copied.
absl::Status InitFromTeacher(EdmDenoiser& student, const EdmDenoiser& teacher);

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_DENOISER_H_
