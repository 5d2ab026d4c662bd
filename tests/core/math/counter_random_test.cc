#include "core/math/counter_random.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace retort::math {
namespace {

using Words = std::array<uint32_t, 4>;

// The known answers of Random123 (kat_vectors, philox4x32 10).
TEST(CounterRandomTest, PhiloxGivesTheKnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                       {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                       {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

std::vector<int64_t> Range(int64_t n) {
  std::vector<int64_t> v(n);
  std::iota(v.begin(), v.end(), 0);
  return v;
}

TEST(CounterRandomTest, NormalsHaveTheMomentsOfANormal) {
  const auto z = NormalPerSample(MakeStream(1, RandomStream::kTrainNoise, 0),
                                 Range(500), {1001})
                     .to(at::kDouble)
                     .flatten();
  // 500,500 draws: standard errors .0014, .002, .0035, .007.
  EXPECT_NEAR(z.mean().item<double>(), 0, .006);
  EXPECT_NEAR(z.pow(2).mean().item<double>(), 1, .009);
  EXPECT_NEAR(z.pow(3).mean().item<double>(), 0, .024);
  EXPECT_NEAR(z.pow(4).mean().item<double>(), 3, .06);
  EXPECT_TRUE(z.isfinite().all().item<bool>());
}

TEST(CounterRandomTest, NeighbouringNumbersAreUncorrelated) {
  const auto stream = MakeStream(2, RandomStream::kTrainNoise, 5);
  const auto z = NormalPerSample(stream, Range(400), {1000}).to(at::kDouble);
  const double along =
      (z.slice(1, 1) * z.slice(1, 0, 999)).mean().item<double>();
  const double across =
      (z.slice(0, 1) * z.slice(0, 0, 399)).mean().item<double>();
  const auto next = NormalPerSample(MakeStream(2, RandomStream::kTrainNoise, 6),
                                    Range(400), {1000});
  const double steps = (z * next.to(at::kDouble)).mean().item<double>();
  EXPECT_NEAR(along, 0, .008);
  EXPECT_NEAR(across, 0, .008);
  EXPECT_NEAR(steps, 0, .008);
}

TEST(CounterRandomTest, UniformsAreUniformInTheHalfOpenInterval) {
  const auto u = UniformPerSample(MakeStream(3, RandomStream::kTrainTime, 0),
                                  Range(1000), 101)
                     .flatten();
  EXPECT_GE(u.min().item<double>(), 0);
  EXPECT_LT(u.max().item<double>(), 1);
  EXPECT_NEAR(u.mean().item<double>(), .5, .005);
  EXPECT_NEAR(u.var().item<double>(), 1. / 12, .002);
}

TEST(CounterRandomTest, ARowDependsOnItsSampleAlone) {
  const auto stream = MakeStream(4, RandomStream::kSampleNoise, 2);
  const auto all = NormalPerSample(stream, {10, 11, 12}, {1, 3, 5});
  EXPECT_TRUE(at::equal(NormalPerSample(stream, {12}, {1, 3, 5})[0], all[2]));
  EXPECT_TRUE(
      at::equal(NormalPerSample(stream, {11, 10}, {1, 3, 5})[1], all[0]));
  const auto u = UniformPerSample(stream, {10, 11, 12}, 3);
  EXPECT_TRUE(at::equal(UniformPerSample(stream, {12}, 3)[0], u[2]));
}

TEST(CounterRandomTest, AShorterRowIsTheBeginningOfALongerOne) {
  const auto stream = MakeStream(4, RandomStream::kSampleNoise, 2);
  const auto longer = NormalPerSample(stream, {7}, {9});
  for (int64_t n : {1, 2, 3, 4, 6}) {
    EXPECT_TRUE(at::equal(NormalPerSample(stream, {7}, {n})[0],
                          longer[0].slice(0, 0, n)));
  }
}

TEST(CounterRandomTest, SeedStreamAndStepEachChangeTheDraws) {
  const auto draw = [](uint64_t seed, RandomStream stream, uint64_t step) {
    return UniformScalar(MakeStream(seed, stream, step), 0);
  };
  const double u = draw(1, RandomStream::kDropout, 1);
  EXPECT_EQ(draw(1, RandomStream::kDropout, 1), u);
  EXPECT_NE(draw(2, RandomStream::kDropout, 1), u);
  EXPECT_NE(draw(1, RandomStream::kDropout, 2), u);
  EXPECT_NE(draw(1, RandomStream::kInit, 1), u);
  EXPECT_NE(UniformScalar(MakeStream(1, RandomStream::kDropout, 1), 1), u);
}

TEST(CounterRandomTest, NoSamplesGiveAnEmptyTensor) {
  const auto stream = MakeStream(4, RandomStream::kSampleNoise, 2);
  EXPECT_EQ(NormalPerSample(stream, {}, {1, 2}).sizes(),
            (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(UniformPerSample(stream, {}, 2).sizes(),
            (std::vector<int64_t>{0, 2}));
}

}  // namespace
}  // namespace retort::math
