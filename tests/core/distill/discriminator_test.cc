#include "core/distill/discriminator.h"

#include <gtest/gtest.h>

#include "tests/core/distill/tiny_models.h"

namespace retort::distill {
namespace {

using ::retort::testing::TinyImages;

constexpr DiscriminatorConfig kTiny = {8, 1, 3, 4};

at::Tensor OneHot(std::vector<int64_t> classes) {
  return at::one_hot(at::tensor(classes, at::kLong), 3).to(at::kFloat);
}

TEST(DiscriminatorTest, CountsItsParametersFromThePlan) {
  for (const DiscriminatorConfig& config :
       {kTiny, DiscriminatorConfig{28, 3, 0, 5},
        DiscriminatorConfig{64, 3, 10, 4}, DiscriminatorConfig{4, 1, 0, 2}}) {
    const Discriminator d(config, 1);
    int64_t n = 0;
    for (const at::Tensor& p : d.parameters()) n += p.numel();
    EXPECT_EQ(CountParameters(config), n) << config.resolution;
  }
}

TEST(DiscriminatorTest, GivesOneNumberForEachImageByItself) {
  const Discriminator d(kTiny, 1);
  const at::Tensor x = TinyImages(4, 2), y = OneHot({0, 1, 2, 0});
  const at::Tensor all = d.Forward(x, y);
  EXPECT_EQ(all.sizes(), at::IntArrayRef({4}));
  const at::Tensor one = d.Forward(x.narrow(0, 2, 1), y.narrow(0, 2, 1));
  EXPECT_NEAR(all[2].item<double>(), one.item<double>(), 1e-5);
}

TEST(DiscriminatorTest, TheClassMatters) {
  const Discriminator d(kTiny, 1);
  const at::Tensor x = TinyImages(1, 2);
  EXPECT_NE(d.Forward(x, OneHot({0})).item<double>(),
            d.Forward(x, OneHot({1})).item<double>());
}

TEST(DiscriminatorTest, WeightsFollowFromTheSeed) {
  const Discriminator a(kTiny, 1), b(kTiny, 1), c(kTiny, 2);
  const at::Tensor x = TinyImages(2, 2), y = OneHot({0, 1});
  EXPECT_TRUE(a.Forward(x, y).equal(b.Forward(x, y)));
  EXPECT_FALSE(a.Forward(x, y).equal(c.Forward(x, y)));
}

TEST(DiscriminatorTest, ComputesInItsOwnFormatWhateverItIsGiven) {
  const Discriminator d(kTiny, 1);
  const at::Tensor out =
      d.Forward(TinyImages(2, 2).to(at::kDouble), OneHot({0, 1}));
  EXPECT_EQ(out.scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace retort::distill
