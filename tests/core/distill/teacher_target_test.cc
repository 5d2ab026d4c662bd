#include "core/distill/teacher_target.h"

#include <gtest/gtest.h>

#include "core/math/heun.h"
#include "core/math/noise_schedule.h"
#include "tests/core/distill/tiny_models.h"

namespace retort::distill {
namespace {

using ::retort::testing::TinyImages;
using ::retort::testing::TinyNet;

at::Tensor Grid() { return torch::tensor(math::TimeGrid({}, 18), at::kDouble); }

TEST(TeacherTargetTest, TakesOneHeunStepPerGridPoint) {
  const auto net = TinyNet(1);
  const at::Tensor x = TinyImages(2, 3).to(at::kDouble), grid = Grid();
  const math::Denoiser d = [&](const at::Tensor& y, const at::Tensor& sigma) {
    torch::NoGradGuard no_grad;
    return net->Denoise(y, sigma);
  };
  at::Tensor expected = x;
  for (int k = 0; k < 3; ++k) {
    expected =
        math::HeunStep(d, expected, grid.slice(0, 4 + k, 5 + k).expand(2),
                       grid.slice(0, 5 + k, 6 + k).expand(2));
  }
  const at::Tensor from = at::full({2}, 4, at::kLong);
  EXPECT_TRUE(HeunAlongGrid(*net, x, grid, from, 3, {}).equal(expected));
}

TEST(TeacherTargetTest, RowsStartAtTheirOwnTimes) {
  const auto net = TinyNet(1);
  const at::Tensor x = TinyImages(2, 3).to(at::kDouble), grid = Grid();
  const at::Tensor both =
      HeunAlongGrid(*net, x, grid, at::tensor({2, 9}, at::kLong), 2, {});
  const at::Tensor second = HeunAlongGrid(*net, x.slice(0, 1), grid,
                                          at::tensor({9}, at::kLong), 2, {});
  EXPECT_TRUE(at::allclose(both.slice(0, 1), second, 1e-5, 1e-6));
}

TEST(TeacherTargetTest, RecordsNoGradientAndKeepsFloat64) {
  const auto net = TinyNet(1);
  const at::Tensor y = HeunAlongGrid(*net, TinyImages(2, 3), Grid(),
                                     at::tensor({0, 1}, at::kLong), 1, {});
  EXPECT_FALSE(y.requires_grad());
  EXPECT_EQ(y.scalar_type(), at::kDouble);
}

}  // namespace
}  // namespace retort::distill
