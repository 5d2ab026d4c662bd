#include "core/nn/weight_init.h"

#include <gtest/gtest.h>

#include <cmath>

namespace retort::nn {
namespace {

TEST(WeightInitTest, EachModeHasItsStandardDeviation) {
  WeightInit draw(1);
  const auto std_of = [&](InitMode mode) {
    return draw.Draw({400, 300}, mode, 300, 400, 1).std().item<double>();
  };
  EXPECT_NEAR(std_of(InitMode::kXavierUniform), std::sqrt(2.0 / 700), 3e-4);
  EXPECT_NEAR(std_of(InitMode::kKaimingUniform), std::sqrt(1.0 / 300), 3e-4);
  EXPECT_NEAR(std_of(InitMode::kKaimingNormal), std::sqrt(1.0 / 300), 3e-4);
}

TEST(WeightInitTest, UniformsStayWithinTheirBound) {
  WeightInit draw(1);
  const at::Tensor w =
      draw.Draw({100, 100}, InitMode::kXavierUniform, 100, 100, 0.5);
  EXPECT_LE(w.abs().max().item<double>(), 0.5 * std::sqrt(6.0 / 200));
}

TEST(WeightInitTest, SameSeedAndOrderGiveTheSameValues) {
  const auto second = [](uint64_t seed) {
    WeightInit draw(seed);
    draw.Draw({3}, InitMode::kKaimingNormal, 3, 3, 1);
    return draw.Draw({5, 5}, InitMode::kKaimingNormal, 5, 5, 1);
  };
  EXPECT_TRUE(at::equal(second(7), second(7)));
  EXPECT_FALSE(at::equal(second(7), second(8)));
}

TEST(WeightInitTest, WithoutASeedEverythingIsZero) {
  WeightInit draw(std::nullopt);
  EXPECT_EQ(draw.Normal({4}, 16).abs().max().item<double>(), 0);
  EXPECT_EQ(draw.Draw({4, 4}, InitMode::kKaimingNormal, 4, 4, 1)
                .abs()
                .max()
                .item<double>(),
            0);
}

}  // namespace
}  // namespace retort::nn
