#include "core/distill/edm_loss.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/core/distill/tiny_models.h"

namespace retort::distill {
namespace {

using ::retort::testing::Range;
using ::retort::testing::TinyImages;
using ::retort::testing::TinyNet;

TEST(EdmLossTest, WeighsTheSquaredErrorOfTheDenoiser) {
  const auto net = TinyNet(1);
  const LossBatch batch = {TinyImages(3, 2), {}, {}};
  const EdmDraws draws = EdmLoss::Draw(7, 0, Range(3), {1, 8, 8});
  const EdmLossResult r = EdmLoss({}).Evaluate(*net, batch, draws);
  const double sigma = r.sigma[1].item<double>();
  const at::Tensor x = batch.images + draws.noise * r.sigma.view({3, 1, 1, 1});
  const at::Tensor d = net->Denoise(x, r.sigma);
  const double w = (sigma * sigma + 0.25) / (sigma * sigma * 0.25);
  const double expected =
      w * (d[1] - batch.images[1]).square().sum().item<double>();
  EXPECT_NEAR(r.per_element[1].sum().item<double>(), expected, 1e-4 * expected);
}

TEST(EdmLossTest, TotalIsSummedOverPixelsAndAveragedOverTheBatch) {
  const auto net = TinyNet(1);
  const LossBatch batch = {TinyImages(4, 2), {}, {}};
  const EdmLossResult r = EdmLoss({}).Evaluate(
      *net, batch, EdmLoss::Draw(7, 0, Range(4), {1, 8, 8}));
  EXPECT_NEAR(r.total.item<double>(), r.per_element.sum().item<double>() / 4,
              1e-4);
}

TEST(EdmLossTest, LogarithmsOfTimesHaveTheMeanAndSpreadAskedFor) {
  EdmDraws draws = EdmLoss::Draw(3, 5, Range(20000), {1});
  const at::Tensor ln = draws.normal * 1.2 - 1.2;
  EXPECT_NEAR(ln.mean().item<double>(), -1.2, 0.03);
  EXPECT_NEAR(ln.std().item<double>(), 1.2, 0.03);
}

TEST(EdmLossTest, ASampleDrawsTheSameWhateverItIsBatchedWith) {
  const EdmDraws all = EdmLoss::Draw(3, 5, Range(8), {1, 8, 8});
  const EdmDraws half =
      EdmLoss::Draw(3, 5, std::vector<int64_t>{4, 5, 6, 7}, {1, 8, 8});
  EXPECT_TRUE(half.noise.equal(all.noise.slice(0, 4)));
  EXPECT_TRUE(half.normal.equal(all.normal.slice(0, 4)));
}

TEST(EdmLossTest, StepsDrawDifferently) {
  const EdmDraws a = EdmLoss::Draw(3, 5, Range(2), {1, 8, 8});
  const EdmDraws b = EdmLoss::Draw(3, 6, Range(2), {1, 8, 8});
  EXPECT_FALSE(a.noise.equal(b.noise));
}

TEST(EdmLossTest, WeightIsThatOfTheFormula) {
  const at::Tensor w = EdmWeight(at::tensor({0.5, 2.0}, at::kDouble), 0.5);
  EXPECT_DOUBLE_EQ(w[0].item<double>(), 0.5 / 0.0625);
  EXPECT_DOUBLE_EQ(w[1].item<double>(), 4.25 / 1.0);
}

}  // namespace
}  // namespace retort::distill
