#include "core/data/augment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

namespace retort::data {
namespace {

at::Tensor Pictures(int64_t n, int64_t channels = 3) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
  return at::rand({n, channels, 8, 8}, generator) * 2 - 1;
}

std::vector<int64_t> Samples(int64_t n) {
  std::vector<int64_t> samples(n);
  std::iota(samples.begin(), samples.end(), 0);
  return samples;
}

at::Tensor Value(std::vector<double> v) { return at::tensor(v, at::kDouble); }

// One operation that always fires, on one image, with what it draws.
Augmented Do(AugmentOp op, const at::Tensor& value, const at::Tensor& image) {
  AugmentOptions options;
  options[op] = 1;
  AugmentDraws draws;
  draws[op] = {value, Value({0})};
  return Augment(options, image, draws);
}

void ExpectClose(const at::Tensor& a, const at::Tensor& b,
                 double tolerance = 1e-5) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LT((a - b).abs().max().item<double>(), tolerance);
}

TEST(AugmentTest, FlipsMirrorWhereTheyWereDrawn) {
  const at::Tensor x = Pictures(1);
  const Augmented flipped = Do(AugmentOp::kXflip, Value({1}), x);
  EXPECT_TRUE(flipped.images.equal(x.flip(3)));
  EXPECT_EQ(flipped.labels.item<float>(), 1);
  const Augmented kept = Do(AugmentOp::kYflip, Value({0}), x);
  EXPECT_TRUE(kept.images.equal(x));
  EXPECT_EQ(kept.labels.item<float>(), 0);
}

TEST(AugmentTest, AnOperationThatDoesNotFireLeavesImageAndLabelAlone) {
  AugmentOptions options;
  options.probability = 0.25;
  options[AugmentOp::kXflip] = 2;
  AugmentDraws draws;
  draws[AugmentOp::kXflip] = {Value({1, 1}), Value({0.49, 0.5})};
  const at::Tensor x = Pictures(2);
  const Augmented a = Augment(options, x, draws);
  EXPECT_TRUE(a.images[0].equal(x[0].flip(2)));
  EXPECT_TRUE(a.images[1].equal(x[1]));
  EXPECT_EQ(a.labels[1].item<float>(), 0);
}

TEST(AugmentTest, FourQuarterTurnsAreNone) {
  const at::Tensor x = Pictures(1);
  at::Tensor turned = x;
  for (int i = 0; i < 4; ++i) {
    turned = Do(AugmentOp::kRotateInt, Value({1}), turned).images;
    EXPECT_EQ(turned.equal(x), i == 3);
  }
  EXPECT_TRUE(
      Do(AugmentOp::kRotateInt, Value({2}), x).images.equal(x.flip({2, 3})));
  EXPECT_TRUE(Do(AugmentOp::kRotateInt, Value({3}),
                 Do(AugmentOp::kRotateInt, Value({1}), x).images)
                  .images.equal(x));
}

TEST(AugmentTest, WholePixelsMoveRightAndUpWithMirroredEdges) {
  const at::Tensor x = Pictures(1);
  // Uniforms 1 and 0 of +-1 pixel of 8.
  const Augmented a =
      Do(AugmentOp::kTranslateInt, Value({1, 0}).view({2, 1}), x);
  EXPECT_TRUE(a.images.slice(3, 1, 8).slice(2, 1, 8).equal(
      x.slice(3, 0, 7).slice(2, 0, 7)));
  EXPECT_TRUE(a.images.slice(2, 1, 8).select(3, 0).equal(
      x.slice(2, 0, 7).select(3, 1)));
  EXPECT_TRUE(a.labels.equal(at::tensor({1.0f, -1.0f}).view({1, 2})));
}

TEST(AugmentTest, NoTurnIsNoneAndHalfATurnFlipsBothAxes) {
  const at::Tensor x = Pictures(1);
  const Augmented none = Do(AugmentOp::kRotateFrac, Value({0.5}), x);
  ExpectClose(none.images, x);
  ExpectClose(none.labels, at::zeros({1, 2}));
  // The filter is not quite symmetric, which sharp images show.
  const at::Tensor ramp =
      (at::arange(8) * 0.1 + at::arange(8).view({8, 1}) * 0.05 - 0.4)
          .view({1, 1, 8, 8});
  const Augmented half = Do(AugmentOp::kRotateFrac, Value({0}), ramp);
  ExpectClose(half.images.slice(2, 2, 6).slice(3, 2, 6),
              ramp.flip({2, 3}).slice(2, 2, 6).slice(3, 2, 6), 0.03);
  ExpectClose(half.labels, at::tensor({-2.0f, 0.0f}).view({1, 2}));
}

TEST(AugmentTest, ScaleMakesAPlateauLarger) {
  at::Tensor x = at::full({1, 1, 8, 8}, -1.0);
  x.slice(2, 2, 6).slice(3, 2, 6).fill_(1);
  // 2^(0.2 * 5) = 2: 4 pixels become 8.
  const Augmented a = Do(AugmentOp::kScale, Value({5}), x);
  EXPECT_GT(a.images.slice(2, 1, 7).slice(3, 1, 7).min().item<double>(), 0.5);
  EXPECT_EQ(a.labels.item<double>(), 5);
}

TEST(AugmentTest, AnisotropicScaleStretchesAlongItsAxis) {
  at::Tensor x = at::full({1, 1, 8, 8}, -1.0);
  x.slice(2, 2, 6).slice(3, 2, 6).fill_(1);
  AugmentOptions options;
  options[AugmentOp::kAniso] = 1;
  AugmentDraws draws;
  draws[AugmentOp::kAniso] = {Value({5}), Value({0})};
  draws.aniso_angle = Value({0.75});  // a quarter turn: y
  draws.aniso_gate = Value({0.5});    // not below 0.5: x all the same
  const at::Tensor wide = Augment(options, x, draws).images[0][0];
  EXPECT_GT(wide[3].slice(0, 1, 7).min().item<double>(), 0.5);
  // Four rows become two; what is farther than 3.5/2 rows is mirrored.
  EXPECT_LT(wide[2][3].item<double>(), 0);
  EXPECT_LT(wide[5][3].item<double>(), 0);
  draws.aniso_gate = Value({0.49});
  const Augmented turned = Augment(options, x, draws);
  ExpectClose(turned.images[0][0], wide.t());
  ExpectClose(turned.labels, at::tensor({0.0, 5.0}, at::kDouble).view({1, 2}));
}

TEST(AugmentTest, ColoursFollowTheirClosedForms) {
  const at::Tensor x = Pictures(1);
  ExpectClose(Do(AugmentOp::kBrightness, Value({2}), x).images, x + 0.4);
  ExpectClose(Do(AugmentOp::kContrast, Value({2}), x).images, 2 * x);
  const at::Tensor luma = x.mean(1, true);
  ExpectClose(Do(AugmentOp::kLumaflip, Value({1}), x).images, x - 2 * luma);
  ExpectClose(Do(AugmentOp::kSaturation, Value({1}), x).images,
              luma + 2 * (x - luma));
  // A third of a turn around the luma axis exchanges the channels in a ring.
  ExpectClose(Do(AugmentOp::kHue, Value({0.5 + 1.0 / 3}), x).images,
              x.roll(1, 1));
}

TEST(AugmentTest, AGreyImageHasTheLumaOfOneWithThreeEqualChannels) {
  const at::Tensor x = Pictures(1, 1);
  const at::Tensor rgb = x.expand({1, 3, 8, 8});
  for (const AugmentOp op : {AugmentOp::kContrast, AugmentOp::kLumaflip,
                             AugmentOp::kHue, AugmentOp::kSaturation}) {
    ExpectClose(Do(op, Value({1}), x).images,
                Do(op, Value({1}), rgb).images.mean(1, true));
  }
}

TEST(AugmentTest, EdmsLabelsAreNineAndZeroForWhatIsLeftAsItIs) {
  AugmentOptions options = EdmAugmentation(0);
  EXPECT_EQ(AugmentLabelDim(options), 9);
  const at::Tensor x = Pictures(16);
  const AugmentDraws draws = DrawAugment(1, 0, Samples(16));
  Augmented a = Augment(options, x, draws);
  ExpectClose(a.images, x);
  ExpectClose(a.labels, at::zeros({16, 9}));
  // Mirror images do not depend on the probability, unless it is 0.
  a = Augment(EdmAugmentation(1e-7), x, draws);
  const at::Tensor mirrored = a.labels.select(1, 0);
  EXPECT_GT(mirrored.sum().item<double>(), 2);
  EXPECT_LT(mirrored.sum().item<double>(), 14);
  ExpectClose(a.labels.slice(1, 1), at::zeros({16, 8}));
}

TEST(AugmentTest, NoOperationsMeanNoLabels) {
  const at::Tensor x = Pictures(2);
  const Augmented a = Augment(AugmentOptions(), x, AugmentDraws());
  EXPECT_TRUE(a.images.equal(x));
  EXPECT_EQ(a.labels.sizes(), at::IntArrayRef({2, 0}));
}

TEST(DrawAugmentTest, WhatASampleDrawsDoesNotDependOnItsBatch) {
  const AugmentDraws all = DrawAugment(7, 3, Samples(6));
  const AugmentDraws some = DrawAugment(7, 3, {4, 5});
  for (int i = 0; i < kAugmentOps; ++i) {
    const int64_t axis = all.of[i].value.dim() - 1;
    EXPECT_TRUE(all.of[i].value.narrow(axis, 4, 2).equal(some.of[i].value));
    EXPECT_TRUE(all.of[i].gate.narrow(0, 4, 2).equal(some.of[i].gate));
  }
  EXPECT_TRUE(all.aniso_angle.narrow(0, 4, 2).equal(some.aniso_angle));
  EXPECT_FALSE(
      DrawAugment(7, 4, Samples(6)).aniso_angle.equal(all.aniso_angle));
}

TEST(DrawAugmentTest, EveryColumnHasItsOwnNumbersOfTheRightKind) {
  const AugmentDraws d = DrawAugment(1, 0, Samples(4000));
  std::vector<at::Tensor> columns = {d.aniso_angle, d.aniso_gate};
  for (int i = 0; i < kAugmentOps; ++i) {
    columns.push_back(d.of[i].gate);
    for (const at::Tensor& v : d.of[i].value.view({-1, 4000}).unbind(0)) {
      columns.push_back(v);
    }
  }
  const at::Tensor correlation = at::corrcoef(at::stack(columns));
  const at::Tensor off =
      correlation - at::eye(correlation.size(0), at::kDouble);
  EXPECT_LT(off.abs().max().item<double>(), 0.09);  // 5.7 standard errors
  const at::Tensor turns = d[AugmentOp::kRotateInt].value;
  EXPECT_EQ(turns.min().item<double>(), 0);
  EXPECT_EQ(turns.max().item<double>(), 3);
  EXPECT_NEAR(d[AugmentOp::kScale].value.std().item<double>(), 1, 0.05);
  EXPECT_NEAR(d[AugmentOp::kHue].value.std().item<double>(),
              std::sqrt(1.0 / 12), 0.02);
}

}  // namespace
}  // namespace retort::data
