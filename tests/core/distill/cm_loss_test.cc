#include "core/distill/cm_loss.h"

#include <gtest/gtest.h>

#include "core/math/jump.h"
#include "tests/core/distill/tiny_models.h"
#include "tests/support/status_matchers.h"

namespace retort::distill {
namespace {

using ::retort::testing::Range;
using ::retort::testing::StatusIs;
using ::retort::testing::TinyImages;
using ::retort::testing::TinyNet;

nn::ConsistencyModel Model(uint64_t seed) {
  return nn::ConsistencyModel(TinyNet(seed), std::make_shared<math::CmJump>());
}

CmLoss L2Loss(CmLossOptions options = {}) {
  return CmLoss(options, MakeDistance({.name = "l2"}).value());
}

TEST(CmLossTest, DrawsEveryPairOfTheGridAndNoOther) {
  const CmDraws draws = L2Loss().Draw(1, 0, Range(2000), {1});
  EXPECT_EQ(draws.index.min().item<int64_t>(), 0);
  EXPECT_EQ(draws.index.max().item<int64_t>(), 16);
}

TEST(CmLossTest, ConsistencyTrainingKeepsTheNoise) {
  const CmLoss loss = L2Loss();
  const CmDraws draws = loss.Draw(1, 0, Range(3), {1, 8, 8});
  const LossBatch batch = {TinyImages(3, 2), {}, {}};
  const CmLossResult r =
      loss.Evaluate(Model(1), Model(2), nullptr, batch, draws);
  const at::Tensor expected =
      batch.images + draws.noise * r.u.view({3, 1, 1, 1});
  EXPECT_TRUE(at::allclose(r.x_u.to(at::kFloat), expected.to(at::kFloat)));
}

TEST(CmLossTest, LastPairsTargetIsTheOdesEndItself) {
  const CmLoss loss = L2Loss();
  CmDraws draws = loss.Draw(1, 0, Range(2), {1, 8, 8});
  draws.index.fill_(16);  // u = sigma_min, where f(x, eps) = x
  const auto teacher = TinyNet(5);
  const CmLossResult r = loss.Evaluate(Model(1), Model(2), teacher.get(),
                                       {TinyImages(2, 2), {}, {}}, draws);
  EXPECT_TRUE(at::allclose(r.target, r.x_u.to(at::kFloat), 0, 1e-6));
}

TEST(CmLossTest, OnlyTheStudentGetsAGradient) {
  const CmLoss loss = L2Loss();
  const nn::ConsistencyModel student = Model(1), target = Model(2);
  const auto teacher = TinyNet(5);
  loss.Evaluate(student, target, teacher.get(), {TinyImages(2, 2), {}, {}},
                loss.Draw(1, 0, Range(2), {1, 8, 8}))
      .total.backward();
  EXPECT_TRUE(student.denoiser().LastLayerWeight().grad().defined());
  EXPECT_FALSE(target.denoiser().LastLayerWeight().grad().defined());
  EXPECT_FALSE(teacher->LastLayerWeight().grad().defined());
}

TEST(CmLossTest, WeightsFollowTheLargerTime) {
  const at::Tensor t = at::tensor({2.0}, at::kDouble);
  EXPECT_DOUBLE_EQ(PairWeight(CmWeight::kUniform, t, 0.5).item<double>(), 1.0);
  EXPECT_DOUBLE_EQ(PairWeight(CmWeight::kSnr, t, 0.5).item<double>(), 0.25);
  EXPECT_DOUBLE_EQ(PairWeight(CmWeight::kKarras, t, 0.5).item<double>(), 4.25);
  EXPECT_DOUBLE_EQ(PairWeight(CmWeight::kSnrPlusOne, t, 0.5).item<double>(),
                   1.25);
  EXPECT_DOUBLE_EQ(PairWeight(CmWeight::kTruncatedSnr, t, 0.5).item<double>(),
                   1.0);
  EXPECT_DOUBLE_EQ(
      PairWeight(CmWeight::kTruncatedSnr, t / 4, 0.5).item<double>(), 4.0);
  EXPECT_DOUBLE_EQ(PairWeight(CmWeight::kRoot, t * 2, 0.5).item<double>(), 2.0);
}

// A network that says F = 0, as EDM's do before they are trained, jumps to
// c_skip(t) x, so that every number of the loss is known.
TEST(CmLossTest, ConsistencyTrainingOfAnUntrainedNetworkIsKnownInClosedForm) {
  CmLossOptions options;
  options.num_times = 5;
  options.weight = CmWeight::kKarras;
  const CmLoss loss = L2Loss(options);
  const nn::ConsistencyModel model(
      nn::CreateDenoiser(retort::testing::TinyConfig(), 1),
      std::make_shared<math::CmJump>());
  const CmDraws draws = loss.Draw(1, 0, Range(4), {1, 8, 8});
  const at::Tensor x0 = TinyImages(4, 2).to(at::kDouble);
  const CmLossResult r =
      loss.Evaluate(model, model, nullptr, {x0.to(at::kFloat), {}, {}}, draws);
  const auto skip = [](const at::Tensor& t) {  // CM, appendix C
    return (0.25 / ((t - 0.002).square() + 0.25)).view({-1, 1, 1, 1});
  };
  const at::Tensor z = draws.noise.to(at::kDouble);
  const at::Tensor difference = skip(r.t) * (x0 + r.t.view({-1, 1, 1, 1}) * z) -
                                skip(r.u) * (x0 + r.u.view({-1, 1, 1, 1}) * z);
  const at::Tensor expected =
      difference.square().mean({1, 2, 3}) * (r.t.pow(-2) + 4);
  EXPECT_TRUE(at::allclose(r.per_sample.to(at::kDouble), expected, 1e-4, 1e-7))
      << r.per_sample << expected;
}

TEST(CmLossTest, KnowsTheWeightsOfBothAuthorsByTheirNames) {
  EXPECT_EQ(ParseCmWeight("snr+1").value(), CmWeight::kSnrPlusOne);
  EXPECT_EQ(ParseCmWeight("truncated-snr").value(), CmWeight::kTruncatedSnr);
  EXPECT_EQ(ParseCmWeight("karras").value(), CmWeight::kKarras);
  EXPECT_EQ(ParseCmWeight("karras_weight").value(), CmWeight::kKarras);
  EXPECT_THAT(ParseCmWeight("unknown"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace retort::distill
