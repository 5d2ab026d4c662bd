#include "server/scheduler/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>

namespace retort::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Room Gpus(std::vector<int> free) {
  Room room;
  for (const int gpus : free) room.push_back({gpus, 100});
  return room;
}

Gang Ranks(int ranks, int together = 1) { return {ranks, {1, 1}, together}; }

TEST(PlacementTest, TakesTheNodeThatIsFilledBest) {
  EXPECT_THAT(Place(Ranks(3), Gpus({8, 4, 3, 5}), Packing::kTight),
              ElementsAre(NodeRanks{2, 3}));
}

TEST(PlacementTest, TakesWholeNodesAndFillsUpAPartOne) {
  EXPECT_THAT(Place(Ranks(12), Gpus({4, 8, 8, 5, 7}), Packing::kTight),
              ElementsAre(NodeRanks{1, 8}, NodeRanks{0, 4}));
}

TEST(PlacementTest, KeepsGroupsOnANode) {
  EXPECT_THAT(Place(Ranks(16, 8), Gpus({7, 8, 7, 7}), Packing::kTight),
              IsEmpty());
  EXPECT_THAT(Place(Ranks(8, 4), Gpus({7, 7}), Packing::kTight),
              ElementsAre(NodeRanks{0, 4}, NodeRanks{1, 4}));
}

TEST(PlacementTest, CountsCpuSlotsToo) {
  const Gang gang{4, {1, 30}};
  EXPECT_EQ(RanksOn(gang, {8, 100}), 3);
  EXPECT_THAT(Place(gang, Gpus({8, 8}), Packing::kTight),
              ElementsAre(NodeRanks{0, 3}, NodeRanks{1, 1}));
}

TEST(PlacementTest, HoldsNoMoreRanksPerNodeThanAllowed) {
  const Gang gang{4, {1, 1}, 1, 2};
  EXPECT_THAT(Place(gang, Gpus({8, 1, 8}), Packing::kTight),
              ElementsAre(NodeRanks{0, 2}, NodeRanks{2, 2}));
}

TEST(PlacementTest, FindsNoRoomOnAnOvercommittedNode) {
  EXPECT_EQ(RanksOn({1, {0, 1}}, {0, -2}), 0);
  EXPECT_EQ(RanksOn({1, {1, 0}}, {-1, 4}), 0);
}

TEST(PlacementTest, MemoKnowsLargerGangsOfAShapeAsTooLarge) {
  FitMemo memo;
  memo.Add(Ranks(4), false);
  EXPECT_TRUE(memo.TooLarge(Ranks(4)));
  EXPECT_TRUE(memo.TooLarge(Ranks(5)));
  EXPECT_FALSE(memo.TooLarge(Ranks(3)));
  EXPECT_FALSE(memo.TooLarge(Ranks(4, 2)));
  memo.Add(Ranks(2), true);
  EXPECT_TRUE(memo.Fits(Ranks(1)));
  EXPECT_FALSE(memo.Fits(Ranks(3)));
}

// The fewest of these nodes that can hold the gang, by trying all sets.
int FewestNodes(const Gang& gang, const Room& room) {
  int fewest = 1000;
  for (unsigned set = 1; set < (1u << room.size()); ++set) {
    int ranks = 0;
    for (size_t i = 0; i < room.size(); ++i) {
      if (set >> i & 1) ranks += RanksOn(gang, room[i]);
    }
    if (ranks >= gang.ranks) fewest = std::min(fewest, std::popcount(set));
  }
  return fewest;
}

TEST(PlacementTest, UsesNoMoreNodesThanNeededWhateverIsFree) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 3000; ++trial) {
    Room room;
    for (int i = 0; i < 7; ++i) {
      room.push_back(
          {static_cast<int>(random() % 9), static_cast<int>(random() % 33)});
    }
    const int together = 1 + random() % 4;
    const Gang gang{
        together * static_cast<int>(1 + random() % 6),
        {static_cast<int>(random() % 3), static_cast<int>(1 + random() % 4)},
        together,
        random() % 3 == 0 ? 4 : 0};
    const int fewest = FewestNodes(gang, room);
    for (const Packing packing : {Packing::kTight, Packing::kSpread}) {
      const Placement nodes = Place(gang, room, packing);
      EXPECT_EQ(nodes.size(), fewest == 1000 ? 0 : fewest) << trial;
      int ranks = 0;
      for (const NodeRanks& at : nodes) {
        EXPECT_LE(at.ranks, RanksOn(gang, room[at.node])) << trial;
        EXPECT_EQ(at.ranks % together, 0) << trial;
        ranks += at.ranks;
      }
      EXPECT_EQ(ranks, nodes.empty() ? 0 : gang.ranks) << trial;
    }
  }
}

}  // namespace
}  // namespace retort::scheduler
