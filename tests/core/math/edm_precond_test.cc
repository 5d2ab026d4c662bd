#include "core/math/edm_precond.h"

#include <gtest/gtest.h>
#include <torch/types.h>

namespace retort::math {
namespace {

at::Tensor Sigmas() {
  return torch::tensor({0.002, 0.1, 0.5, 3.0, 80.0}, at::kDouble);
}

TEST(EdmPrecondTest, NetworkInputAndTargetHaveUnitVariance) {
  const at::Tensor sigma = Sigmas();
  const Scalings c = EdmScalings(sigma, 0.5);
  // EDM, Appendix B.6: Var(c_in (y + n)) = 1 and the variance of
  // (y - c_skip (y + n)) / c_out is 1.
  const at::Tensor input = c.c_in.square() * (sigma.square() + 0.25);
  const at::Tensor target =
      ((1 - c.c_skip).square() * 0.25 + (c.c_skip * sigma).square()) /
      c.c_out.square();
  EXPECT_TRUE(at::allclose(input, at::ones_like(sigma), 1e-12, 0));
  EXPECT_TRUE(at::allclose(target, at::ones_like(sigma), 1e-9, 0));
}

TEST(EdmPrecondTest, TheIdealDenoiserOfIsotropicDataNeedsNoNetwork) {
  const at::Tensor sigma = Sigmas();
  EXPECT_TRUE(at::allclose(EdmScalings(sigma, 0.5).c_skip,
                           0.25 / (0.25 + sigma.square()), 1e-14, 0));
}

TEST(EdmPrecondTest, ExpandLikeMultipliesSampleBySample) {
  const at::Tensor x = at::ones({5, 2, 3, 3}, at::kFloat);
  const at::Tensor v = ExpandLike(Sigmas(), x);
  EXPECT_EQ(v.scalar_type(), at::kFloat);
  EXPECT_FLOAT_EQ((x * v)[3][1][2][0].item<float>(), 3.0f);
  EXPECT_EQ(ExpandLike(at::scalar_tensor(2.0), x).sizes(),
            (std::vector<int64_t>{1, 1, 1, 1}));
}

}  // namespace
}  // namespace retort::math
