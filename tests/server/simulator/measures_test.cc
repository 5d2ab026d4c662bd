#include "server/simulator/measures.h"

#include <gtest/gtest.h>

namespace retort::simulator {
namespace {

TEST(MeasuresTest, JainIndexIsOneForEqualsAndOneOverNForOneThatHasAll) {
  EXPECT_DOUBLE_EQ(JainIndex({3, 3, 3}), 1);
  EXPECT_DOUBLE_EQ(JainIndex({5, 0, 0, 0}), 0.25);
  EXPECT_DOUBLE_EQ(JainIndex({1, 3}), 0.8);
  EXPECT_DOUBLE_EQ(JainIndex({}), 1);
}

TEST(MeasuresTest, SampleTakesItsQuantilesFromItsOwnValues) {
  Sample sample;
  for (int i = 200; i > 0; --i) sample.Add(i);
  const auto summary = sample.Summary();
  EXPECT_EQ(summary["count"], 200);
  EXPECT_EQ(summary["mean"], 100.5);
  EXPECT_EQ(summary["p50"], 100);
  EXPECT_EQ(summary["p90"], 180);
  EXPECT_EQ(summary["p99"], 198);
  EXPECT_EQ(summary["max"], 200);
  EXPECT_FALSE(Sample().Summary().contains("p50"));
}

TEST(MeasuresTest, SharesAreComparedWithTheWeights) {
  Measures measures;
  measures.fair_used = {30, 70};
  const auto json = measures.ToJson({"a", "b"}, {1, 3});
  EXPECT_EQ(json["fairness"]["projects"]["a"]["got_by_due"], 1.2);
  EXPECT_EQ(json["fairness"]["projects"]["b"]["got"], 0.7);
}

}  // namespace
}  // namespace retort::simulator
