#ifndef RETORT_CORE_NN_CONSISTENCY_MODEL_H_
#define RETORT_CORE_NN_CONSISTENCY_MODEL_H_

#include <ATen/ATen.h>

#include <memory>

#include "core/math/jump.h"
#include "core/nn/denoiser.h"

namespace retort::nn {

// A consistency function: a network in a preconditioning,
//   f(x, t, s) = a(t, s) x + b(t, s) D(x, t, s)   (JumpPrecond::Apply).
// CM (a network with one time) jumps to s = eps only. Cheap to copy; copies
// share the network.
class ConsistencyModel {
 public:
  // CHECKs that neither is null.
  ConsistencyModel(std::shared_ptr<EdmDenoiser> denoiser,
                   std::shared_ptr<const math::JumpPrecond> jump);

  // `t` and `s` float64 [n]; a and b are computed in float64, and cast to the
  // network's dtype, which is also the result's. Labels as in
  // EdmDenoiser::Denoise.
  at::Tensor Jump(const at::Tensor& x, const at::Tensor& t, const at::Tensor& s,
                  const at::Tensor& labels = {}) const;

  // The network is shared, so a const model gives a mutable network.
  EdmDenoiser& denoiser() const { return *denoiser_; }
  const std::shared_ptr<EdmDenoiser>& shared_denoiser() const {
    return denoiser_;
  }
  const math::JumpPrecond& jump() const { return *jump_; }
  const std::shared_ptr<const math::JumpPrecond>& shared_jump() const {
    return jump_;
  }

 private:
  std::shared_ptr<EdmDenoiser> denoiser_;
  std::shared_ptr<const math::JumpPrecond> jump_;
};

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_CONSISTENCY_MODEL_H_
