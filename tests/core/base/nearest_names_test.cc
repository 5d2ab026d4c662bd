#include "core/base/nearest_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retort::base {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(NearestNamesTest, FindsNearNamesBestFirst) {
  const std::vector<std::string> known = {"teacher", "training", "distance"};
  EXPECT_THAT(NearestNames("teachr", known), ElementsAre("teacher"));
  EXPECT_THAT(NearestNames("trianing", known), ElementsAre("training"));
  EXPECT_THAT(NearestNames("zzz", known), IsEmpty());
}

TEST(NearestNamesTest, ListsAllWhenNothingIsNear) {
  EXPECT_EQ(DidYouMean("zzz", {"a", "b"}), "; known: a, b");
  EXPECT_EQ(DidYouMean("teachr", {"teacher"}), "; did you mean teacher?");
}

}  // namespace
}  // namespace retort::base
