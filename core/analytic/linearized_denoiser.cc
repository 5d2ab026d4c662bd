#include "core/analytic/linearized_denoiser.h"

#include <torch/autograd.h>
#include <torch/utils.h>

namespace retort::analytic {

LinearizedDenoiser::LinearizedDenoiser(const TeacherSource& source,
                                       const at::Tensor& x, const at::Tensor& t,
                                       const at::Tensor& labels)
    : x_(x.detach().requires_grad_(true)), t_(t.detach().requires_grad_(true)) {
  torch::AutoGradMode with_grad(true);
  out_ = source.denoise(x_, t_, labels);
  value_ = out_.detach().to(x.scalar_type());
}

at::Tensor LinearizedDenoiser::Transposed(const at::Tensor& w) const {
  return torch::autograd::grad({out_}, {x_}, {w.to(out_.options())},
                               /*retain_graph=*/true)[0];
}

at::Tensor LinearizedDenoiser::Product(const at::Tensor& v,
                                       const at::Tensor& v_t) {
  torch::AutoGradMode with_grad(true);
  if (!dummy_.defined()) {
    dummy_ = at::zeros_like(value_, out_.options()).requires_grad_(true);
    const auto pulled =
        torch::autograd::grad({out_}, {x_, t_}, {dummy_}, /*retain_graph=*/true,
                              /*create_graph=*/true, /*allow_unused=*/true);
    pulled_x_ = pulled[0];
    pulled_t_ = pulled[1];
  }
  at::Tensor sum = (pulled_x_ * v).sum();
  if (pulled_t_.defined()) sum = sum + (pulled_t_ * v_t).sum();
  return torch::autograd::grad({sum}, {dummy_}, {}, /*retain_graph=*/true)[0]
      .detach()
      .to(value_.scalar_type());
}

at::Tensor LinearizedDenoiser::AlongOde() {
  // dt/dlambda = -t.
  return Product(value_ - x_.detach(), -t_.detach());
}

}  // namespace retort::analytic
