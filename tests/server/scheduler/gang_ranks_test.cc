#include "server/scheduler/gang_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_worker_session.h"

namespace retort::scheduler {
namespace {

using ::retort::testing::FakeWorkerSession;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::Optional;

constexpr absl::Time kStart = absl::UnixEpoch();

class GangRanksTest : public ::testing::Test {
 protected:
  // Attaches a rank on node "n" with pid 10 + rank.
  void Attach(int rank, absl::Time now = kStart) {
    internal::v1::Hello hello;
    hello.set_rank(rank);
    hello.set_host("n");
    hello.set_pid(10 + rank);
    ranks_.Attach(hello, std::make_shared<FakeWorkerSession>(), now);
  }
  void Beat(int rank, absl::Time now, const std::string& activity = "training",
            absl::Duration since = absl::ZeroDuration(), bool waiting = false) {
    internal::v1::AttachRequest message;
    message.mutable_heartbeat()->set_step(41);
    message.mutable_heartbeat()->set_activity(activity);
    message.mutable_heartbeat()->set_activity_ms(
        absl::ToInt64Milliseconds(since));
    message.mutable_heartbeat()->set_waiting(waiting);
    ranks_.Hear(rank, message, now);
  }
  static absl::Time At(int seconds) { return kStart + absl::Seconds(seconds); }

  const HangOptions options_;
  GangRanks ranks_{2, /*assigned=*/false};
};

TEST_F(GangRanksTest, NamesTheRankThatIsSilent) {
  Attach(0);
  Attach(1);
  Beat(1, At(0));
  Beat(0, At(20));
  EXPECT_EQ(ranks_.NextHang(options_), At(30));
  EXPECT_EQ(ranks_.FindHanging(options_, At(29)), std::nullopt);
  EXPECT_THAT(
      ranks_.FindHanging(options_, At(31)),
      Optional(Eq("rank 1 on n (pid 11) has not been heard of for 31 s; last "
                  "at step 41, in \"training\"")));
}

TEST_F(GangRanksTest, NamesTheRankThatStaysAtOneThing) {
  Attach(0);
  Attach(1);
  Beat(0, At(0), "all-reduce", absl::Minutes(40), /*waiting=*/true);
  Beat(1, At(0), "loading data", absl::Minutes(31));
  EXPECT_THAT(ranks_.FindHanging(options_, At(1)),
              Optional(Eq("rank 1 on n (pid 11) has been in \"loading data\" "
                          "for 1861 s, at step 41")));
}

TEST_F(GangRanksTest, BlamesNoneThatWaitsForOthersOrDoesNotSay) {
  Attach(0);
  Attach(1);
  Beat(0, At(0), "all-reduce", absl::Hours(1), /*waiting=*/true);
  Beat(1, At(0), "", absl::Hours(1));
  EXPECT_EQ(ranks_.FindHanging(options_, At(1)), std::nullopt);
}

TEST_F(GangRanksTest, NamesWhatAllRanksWaitIn) {
  Attach(0);
  Attach(1);
  Beat(0, At(0), "all-reduce", absl::Minutes(40), /*waiting=*/true);
  Beat(1, At(0), "all-reduce", absl::Minutes(29), /*waiting=*/true);
  Beat(0, At(50), "all-reduce", absl::Seconds(2450), /*waiting=*/true);
  Beat(1, At(50), "all-reduce", absl::Seconds(1790), /*waiting=*/true);
  EXPECT_EQ(ranks_.NextHang(options_), At(60));
  EXPECT_EQ(ranks_.FindHanging(options_, At(59)), std::nullopt);
  EXPECT_THAT(ranks_.FindHanging(options_, At(61)),
              Optional(AllOf(HasSubstr("all ranks wait for each other"),
                             HasSubstr("rank 1 on n (pid 11) has been in "
                                       "\"all-reduce\" for 1801 s, at step "
                                       "41"))));
}

TEST_F(GangRanksTest, JudgesOnlyWhoCouldBeHeard) {
  Attach(0);
  EXPECT_THAT(ranks_.FindHanging(options_, At(31)), Optional(::testing::_));
  ranks_.Detach(0);
  EXPECT_EQ(ranks_.FindHanging(options_, At(31)), std::nullopt);
  Attach(0);
  ranks_.SetEnded(0);
  EXPECT_EQ(ranks_.FindHanging(options_, At(31)), std::nullopt);
  EXPECT_EQ(ranks_.NextHang(options_), absl::InfiniteFuture());
}

TEST_F(GangRanksTest, CountsAnewWhenItCouldNotListen) {
  Attach(0);
  Attach(1);
  Beat(1, At(0), "validation", absl::Minutes(29));
  ranks_.RestartClocks(At(100));
  EXPECT_EQ(ranks_.FindHanging(options_, At(129)), std::nullopt);
}

TEST_F(GangRanksTest, IsCompleteWhenEachIsAttachedOrDone) {
  Attach(0);
  EXPECT_FALSE(ranks_.AllPresent());
  Attach(1);
  EXPECT_TRUE(ranks_.AllPresent());
  ranks_.SetEnded(1);
  ranks_.Detach(1);
  EXPECT_TRUE(ranks_.AllPresent());
}

TEST_F(GangRanksTest, KnowsWhoNeedsAnAssignment) {
  Attach(0);
  Attach(1);
  EXPECT_THAT(ranks_.Unassigned(), ElementsAre(0, 1));
  ranks_.SetAssigned(0);
  EXPECT_THAT(ranks_.Unassigned(), ElementsAre(1));
  EXPECT_FALSE(ranks_.AllAssigned());
}

}  // namespace
}  // namespace retort::scheduler
