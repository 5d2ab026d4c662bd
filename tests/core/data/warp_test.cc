#include "core/data/warp.h"

#include <gtest/gtest.h>

#include <cmath>

namespace retort::data {
namespace {

at::Tensor RandomImages(int64_t n) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
  return at::rand({n, 3, 16, 16}, generator) * 2 - 1;
}

void ExpectNear(const at::Tensor& a, const at::Tensor& b, double tolerance) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LT((a - b).abs().max().item<double>(), tolerance);
}

// Brightness that changes linearly with x and y, in pixels from the centre.
at::Tensor Ramp(double x, double y, double constant) {
  const at::Tensor at = at::arange(16, at::kDouble) - 7.5;
  return (x * at.view({1, 16}) + y * at.view({16, 1}) + constant)
      .view({1, 1, 16, 16});
}

TEST(WarpTest, TheIdentityGivesImagesBack) {
  const at::Tensor images = RandomImages(3);
  ExpectNear(Warp(images, AffineMaps::Identity(3)), images, 1e-5);
}

TEST(WarpTest, AnOffsetOfWholePixelsShiftsThem) {
  const at::Tensor images = RandomImages(1);
  AffineMaps map = AffineMaps::Identity(1);
  map.offset = at::tensor({2.0, -3.0}, at::kDouble).view({1, 2});
  // Pixel (row, column) shows (row - 3, column + 2).
  ExpectNear(Warp(images, map).slice(2, 3, 16).slice(3, 0, 14),
             images.slice(2, 0, 13).slice(3, 2, 16), 1e-5);
}

TEST(WarpTest, BeyondItsEdgeAnImageIsMirrored) {
  const at::Tensor images = RandomImages(1);
  AffineMaps map = AffineMaps::Identity(1);
  map.offset = at::tensor({-4.0, 0.0}, at::kDouble).view({1, 2});
  // Columns 0 to 3 show columns -4 to -1, which are 4 to 1.
  ExpectNear(Warp(images, map).slice(3, 0, 4), images.slice(3, 1, 5).flip(3),
             1e-5);
}

TEST(WarpTest, AQuarterTurnTurnsXTowardsY) {
  // The filter is not quite symmetric, which sharp images show.
  const at::Tensor images = Ramp(0.05, -0.02, 0.1);
  const AffineMaps map = {
      at::tensor({0.0, -1.0, 1.0, 0.0}, at::kDouble).view({1, 2, 2}),
      at::zeros({1, 2}, at::kDouble)};
  // Pixel (x, y) shows (-y, x).
  ExpectNear(Warp(images, map).slice(2, 3, 13).slice(3, 3, 13),
             Ramp(-0.02, -0.05, 0.1).slice(2, 3, 13).slice(3, 3, 13), 5e-3);
}

TEST(WarpTest, ARampStaysARampUnderAnyMap) {
  const double c = std::cos(0.4), s = std::sin(0.4);
  const AffineMaps map = {
      0.6 * at::tensor({c, -s, s, c}, at::kDouble).view({1, 2, 2}),
      at::tensor({0.3, -0.7}, at::kDouble).view({1, 2})};
  const at::Tensor warped = Warp(Ramp(0.05, -0.02, 0.1), map);
  const at::Tensor expected =
      Ramp(0.6 * (0.05 * c - 0.02 * s), 0.6 * (-0.05 * s - 0.02 * c),
           0.05 * 0.3 + 0.02 * 0.7 + 0.1);
  // Away from where the mirrored edge is near.
  ExpectNear(warped.slice(2, 5, 11).slice(3, 5, 11),
             expected.slice(2, 5, 11).slice(3, 5, 11), 5e-3);
}

TEST(AffineMapsTest, AfterDoesTheOtherFirst) {
  const AffineMaps turn = {
      at::tensor({0.0, -1.0, 1.0, 0.0}, at::kDouble).view({1, 2, 2}),
      at::tensor({1.0, 0.0}, at::kDouble).view({1, 2})};
  AffineMaps shift = AffineMaps::Identity(1);
  shift.offset = at::tensor({2.0, 5.0}, at::kDouble).view({1, 2});
  const AffineMaps both = turn.After(shift);
  EXPECT_TRUE(both.linear.equal(turn.linear));
  EXPECT_TRUE(
      both.offset.equal(at::tensor({-4.0, 2.0}, at::kDouble).view({1, 2})));
}

}  // namespace
}  // namespace retort::data
