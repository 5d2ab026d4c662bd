#include "core/math/edm_precond.h"

#include <vector>

namespace retort::math {

Scalings EdmScalings(const at::Tensor& sigma, double sigma_data) {
  const double sd2 = sigma_data * sigma_data;
  const at::Tensor sum = sigma.square() + sd2;
  const at::Tensor root = sum.sqrt();
  return {sd2 / sum, sigma * sigma_data / root, root.reciprocal(),
          sigma.log() / 4};
}

at::Tensor ExpandLike(const at::Tensor& v, const at::Tensor& x) {
  std::vector<int64_t> shape(x.dim(), 1);
  shape[0] = v.numel();
  return v.to(x.options()).reshape(shape);
}

}  // namespace retort::math
