#include "core/math/jump.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <memory>
#include <vector>

#include "core/math/edm_precond.h"

namespace retort::math {
namespace {

constexpr double kEps = 0.002;

at::Tensor Times() {
  return torch::tensor({0.002, 0.0021, 0.3, 7.0, 80.0}, at::kDouble);
}

struct Pair {
  at::Tensor a, b;
};

Pair Coefficients(const JumpPrecond& jump, const at::Tensor& t,
                  const at::Tensor& s) {
  Pair p;
  jump.Coefficients(t, s, &p.a, &p.b);
  return p;
}

TEST(JumpTest, AJumpToItsOwnTimeIsExactlyTheIdentity) {
  const std::vector<std::shared_ptr<JumpPrecond>> jumps = {
      std::make_shared<CtmJump>(), std::make_shared<BcmJump>()};
  for (const auto& jump : jumps) {
    const Pair p = Coefficients(*jump, Times(), Times());
    EXPECT_TRUE(at::equal(p.a, at::ones_like(p.a))) << jump->name();
    EXPECT_TRUE(at::equal(p.b, at::zeros_like(p.b))) << jump->name();
  }
  const at::Tensor eps = at::full({1}, kEps, at::kDouble);
  const Pair p = Coefficients(CmJump(kEps), eps, eps);
  EXPECT_EQ(p.a.item<double>(), 1);
  EXPECT_EQ(p.b.item<double>(), 0);
}

TEST(JumpTest, TheDenoiserFormIsTheRawFormRewritten) {
  const at::Tensor t = Times();
  const Scalings edm = EdmScalings(t, 0.5);
  const RawScalings raw = CmScalings(t, kEps, 0.5);
  const Pair p = Coefficients(CmJump(kEps), t, at::full_like(t, kEps));
  // a x + b D with D = c_skip x + c_out F.
  EXPECT_TRUE(at::allclose(p.a + p.b * edm.c_skip, raw.c_skip, 1e-13, 1e-15));
  EXPECT_TRUE(at::allclose(p.b * edm.c_out, raw.c_out, 1e-13, 1e-15));
}

TEST(JumpTest, BidirectionalAndTrajectoryJumpsAreTheSameFunction) {
  const at::Tensor t = Times();
  const at::Tensor s = torch::tensor({0.002, 0.002, 0.1, 7.0, 0.002});
  const Pair bcm = Coefficients(BcmJump(), t, s.to(at::kDouble));
  const Pair ctm = Coefficients(CtmJump(), t, s.to(at::kDouble));
  EXPECT_TRUE(at::allclose(bcm.a, ctm.a, 1e-9, 1e-13));
  EXPECT_TRUE(at::allclose(bcm.b, ctm.b, 1e-9, 1e-13));
}

TEST(JumpTest, ConsistencyModelsSharesTheWeightOfTrajectoryModelsAtEps) {
  const at::Tensor t = Times();
  const at::Tensor eps = at::full_like(t, kEps);
  EXPECT_TRUE(at::allclose(Coefficients(CmJump(kEps), t, eps).b,
                           Coefficients(CtmJump(), t, eps).b, 1e-9, 1e-15));
  EXPECT_FALSE(CmJump().any_end());
  EXPECT_TRUE(CtmJump().any_end());
}

}  // namespace
}  // namespace retort::math
