#include "core/nn/consistency_model.h"

#include <utility>

#include "core/base/check.h"
#include "core/math/edm_precond.h"

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
  at::Tensor a, b;
  jump_->Coefficients(t, s, &a, &b);
  const at::Tensor d = denoiser_->Denoise(x, t, labels, {}, s);
  return at::addcmul(x * math::ExpandLike(a, x), d, math::ExpandLike(b, x));
}

}  // namespace retort::nn
