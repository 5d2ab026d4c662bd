#include "server/scheduler/reservation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

namespace retort::scheduler {
namespace {

using ::testing::ElementsAre;

const absl::Time kToday = absl::FromUnixSeconds(1800000000);

// Nodes of eight GPUs, all held by gangs with one GPU per rank.
class ReservationTest : public ::testing::Test {
 protected:
  ReservationTest() {
    outlook_.free.resize(3);
    outlook_.promised.resize(3);
    outlook_.usable.resize(3, true);
  }
  void Release(const Placement& nodes, absl::Duration in) {
    placements_.push_back(nodes);
    outlook_.releases.push_back({kToday + in,
                                 static_cast<int64_t>(placements_.size()),
                                 &placements_.back(),
                                 {1, 0}});
  }
  std::optional<Reservation> For(int ranks) {
    return Reserve({ranks, {1, 0}}, kToday, outlook_, Packing::kTight);
  }
  std::vector<int> Spare(int ranks) {
    std::vector<int> gpus;
    const Room room = For(ranks)->spare;
    for (const Resources& spare : room) {
      gpus.push_back(spare.gpus);
    }
    return gpus;
  }
  Outlook outlook_;
  std::deque<Placement> placements_;
};

TEST_F(ReservationTest, IsForTheFirstTimeAtWhichEnoughHasEnded) {
  Release({{0, 8}}, absl::Hours(3));
  Release({{1, 8}}, absl::Hours(1));
  Release({{2, 8}}, absl::Hours(2));
  EXPECT_EQ(For(8)->start, kToday + absl::Hours(1));
  EXPECT_THAT(For(8)->nodes, ElementsAre(NodeRanks{1, 8}));
  EXPECT_EQ(For(9)->start, kToday + absl::Hours(2));
  EXPECT_EQ(For(24)->start, kToday + absl::Hours(3));
  EXPECT_FALSE(For(25).has_value());
}

TEST_F(ReservationTest, LeavesWhatIsThereBesideIt) {
  Release({{0, 8}}, absl::Hours(1));
  Release({{1, 4}}, absl::Hours(1));  // at the same time: it is there as well
  Release({{2, 8}}, absl::Hours(2));
  outlook_.free[2] = {1, 0};
  EXPECT_THAT(Spare(6), ElementsAre(2, 4, 1));
}

TEST_F(ReservationTest, CountsNothingOnNodesThatAreDown) {
  Release({{0, 8}}, absl::Hours(1));
  Release({{1, 8}}, absl::Hours(2));
  outlook_.usable[0] = false;
  EXPECT_EQ(For(8)->start, kToday + absl::Hours(2));
  EXPECT_FALSE(For(9).has_value());
}

TEST_F(ReservationTest, TakesAnOverrunGangToEndNowAndAnUnknownOneLast) {
  Release({{0, 4}}, -absl::Hours(1));
  Release({{1, 4}}, absl::InfiniteDuration());
  Release({{2, 4}}, absl::Hours(9));
  EXPECT_EQ(For(4)->start, kToday);
  EXPECT_EQ(For(8)->start, kToday + absl::Hours(9));
  EXPECT_EQ(For(12)->start, absl::InfiniteFuture());
}

TEST_F(ReservationTest, KeepsWhatIsPromisedToOthers) {
  Release({{0, 8}}, absl::Hours(1));
  Release({{1, 8}}, absl::Hours(2));
  outlook_.promised[0] = {6, 0};
  EXPECT_EQ(For(2)->start, kToday + absl::Hours(1));
  EXPECT_EQ(For(3)->start, kToday + absl::Hours(2));
  EXPECT_THAT(Spare(3), ElementsAre(2, 5, 0));
}

}  // namespace
}  // namespace retort::scheduler
