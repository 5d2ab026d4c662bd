#include "core/nn/consistency_model.h"

#include <utility>

#include "core/base/check.h"

namespace retort::nn {

ConsistencyModel::ConsistencyModel(
    std::shared_ptr<EdmDenoiser> denoiser,
    std::shared_ptr<const math::JumpPrecond> jump)
    : denoiser_(std::move(denoiser)), jump_(std::move(jump)) {
  RETORT_CHECK(denoiser_ != nullptr);
  RETORT_CHECK(jump_ != nullptr);
}

at::Tensor ConsistencyModel::Jump(const at::Tensor& image, const at::Tensor& t,
                                  const at::Tensor& s,
                                  const at::Tensor& labels) const {
  const at::Tensor x = image.to(denoiser_->dtype());
  const at::Tensor d = denoiser_->Denoise(x, t, labels, {}, s);
  return jump_->Apply(x, d, t, s);
}

}  // namespace retort::nn
