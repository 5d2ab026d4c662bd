#include "core/nn/consistency_model.h"

#include <gtest/gtest.h>

#include "core/math/edm_precond.h"
#include "tests/core/nn/small_networks.h"

namespace retort::nn {
namespace {

std::shared_ptr<EdmDenoiser> Student() {
  NetworkConfig c = SmallSong();
  c.two_times = true;
  auto net = CreateDenoiser(c, 1);
  Perturb(*net);
  net->eval();
  return net;
}

TEST(ConsistencyModelTest, AJumpToItsOwnTimeReturnsTheImage) {
  torch::NoGradGuard no_grad;
  const ConsistencyModel model(Student(), std::make_shared<math::CtmJump>());
  const at::Tensor x = at::randn({2, 2, 8, 8});
  const at::Tensor t = torch::tensor({0.002, 80.0}, at::kDouble);
  EXPECT_TRUE(at::equal(model.Jump(x, t, t), x));
}

TEST(ConsistencyModelTest, AConsistencyModelEndsAtEps) {
  torch::NoGradGuard no_grad;
  const ConsistencyModel model(Student(), std::make_shared<math::CmJump>());
  const at::Tensor x = at::randn({1, 2, 8, 8});
  const at::Tensor eps = torch::tensor({0.002}, at::kDouble);
  EXPECT_TRUE(at::equal(model.Jump(x, eps, eps), x));
}

TEST(ConsistencyModelTest, AJumpIsTheWeightedSumOfImageAndDenoiser) {
  torch::NoGradGuard no_grad;
  const auto net = Student();
  const ConsistencyModel model(net, std::make_shared<math::CtmJump>());
  const at::Tensor x = at::randn({2, 2, 8, 8});
  const at::Tensor t = torch::tensor({2.0, 10.0}, at::kDouble);
  const at::Tensor s = torch::tensor({0.5, 1.0}, at::kDouble);
  const at::Tensor d = net->Denoise(x, t, {}, {}, s);
  const at::Tensor f = model.Jump(x, t, s);
  EXPECT_TRUE(at::allclose(f[0], 0.25 * x[0] + 0.75 * d[0], 1e-5, 1e-5));
  EXPECT_TRUE(at::allclose(f[1], 0.1 * x[1] + 0.9 * d[1], 1e-5, 1e-5));
}

}  // namespace
}  // namespace retort::nn
