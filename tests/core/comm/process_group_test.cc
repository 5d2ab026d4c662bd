#include "core/comm/process_group.h"

#include <ATen/ATen.h>

#include <atomic>
#include <future>
#include <string>
#include <vector>

#include "tests/core/comm/gang.h"
#include "tests/support/status_matchers.h"

namespace retort::comm {
namespace {

using ::retort::testing::RunGang;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ProcessGroupTest, SumsATensorOverTheRanks) {
  RunGang(3, [](Communicator& comm) {
    at::Tensor x = at::arange(5, at::kFloat) * (comm.rank() + 1);
    auto pending = comm.AllReduce(x);
    pending->Wait();
    EXPECT_TRUE(x.equal(at::arange(5, at::kFloat) * 6));
  });
}

TEST(ProcessGroupTest, SeveralSumsMayBeUnderWay) {
  RunGang(2, [](Communicator& comm) {
    std::vector<at::Tensor> tensors;
    std::vector<std::unique_ptr<Pending>> sums;
    for (int i = 0; i < 8; ++i) {
      tensors.push_back(at::full({1000}, i + comm.rank(), at::kFloat));
      sums.push_back(comm.AllReduce(tensors.back()));
    }
    for (auto& sum : sums) sum->Wait();
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(tensors[i][0].item<float>(), 2 * i + 1);
    }
  });
}

TEST(ProcessGroupTest, EveryRankGetsTheTextTensorsAndNumbersOfRank0) {
  RunGang(2, [](Communicator& comm) {
    EXPECT_EQ(comm.BroadcastText(comm.lead() ? "hello" : ""), "hello");
    EXPECT_EQ(comm.BroadcastText(comm.lead() ? "" : "other"), "");
    at::Tensor strided = at::zeros({3, 4}).t();
    if (comm.lead()) strided.copy_(at::arange(12).view({4, 3}));
    comm.BroadcastAll({strided});
    EXPECT_TRUE(strided.equal(at::arange(12).view({4, 3}).to(at::kFloat)));
    EXPECT_THAT(comm.Sum({1.5, comm.rank() + 0.25}), ElementsAre(3.0, 1.5));
    comm.Barrier();
  });
}

TEST(ProcessGroupTest, TellsThatItWaitsAndForHowLong) {
  RunGang(2, [](Communicator& comm) {
    std::vector<std::string> heard;
    comm.SetWaitListener([&](const char* what) {
      heard.push_back(what == nullptr ? "" : what);
    });
    comm.Sum({1});
    EXPECT_THAT(heard, ElementsAre("all-reduce", ""));
  });
}

TEST(ProcessGroupTest, ARankThatGivesUpEndsTheOthersWaitAndTellsWhy) {
  for (const int broken : {0, 1}) {
    std::atomic<int> heard{0};
    RunGang(3, [&](Communicator& comm) {
      comm.Barrier();
      if (comm.rank() == broken) {
        comm.Abort("out of memory");
        return;
      }
      try {
        comm.Sum({1});
        ADD_FAILURE() << "the sum of all but one";
      } catch (const LostContact& lost) {
        EXPECT_THAT(lost.what(), HasSubstr("lost contact with another rank"));
        EXPECT_THAT(lost.what(),
                    HasSubstr(broken == 0 ? "rank 0: out of memory"
                                          : "rank 1: out of memory"));
        ++heard;
      }
    });
    EXPECT_EQ(heard, 2);
  }
}

TEST(ProcessGroupTest, GivesUpWithASumOfItsOwnUnderWay) {
  std::promise<void> gone;
  auto when_gone = gone.get_future().share();
  RunGang(2, [&, when_gone](Communicator& comm) {
    comm.Barrier();
    const at::Tensor x = at::ones({1 << 20});
    if (comm.rank() == 1) {
      auto sum = comm.AllReduce(x);
      comm.Abort("no data");
      EXPECT_THROW(sum->Wait(), LostContact);
      EXPECT_THROW(comm.Sum({1}), LostContact);
      gone.set_value();
      return;
    }
    when_gone.wait();
    EXPECT_THROW(comm.AllReduce(x)->Wait(), LostContact);
  });
}

// Connections that close take results away which have not been looked at yet.
TEST(ProcessGroupTest, RanksLeaveTogether) {
  for (int round = 0; round < 20; ++round) {
    RunGang(2, [&](Communicator& comm) {
      for (int i = 0; i < 3; ++i) EXPECT_NO_THROW(comm.Barrier());
    });
  }
}

TEST(ProcessGroupTest, AGangOfOneNeedsNobody) {
  ProcessGroupOptions options;
  RETORT_ASSERT_OK_AND_ASSIGN(const auto comm, JoinProcessGroup(options));
  EXPECT_EQ(comm->size(), 1);
  EXPECT_THAT(comm->Sum({2}), ElementsAre(2));
  EXPECT_EQ(comm->BroadcastText("x"), "x");
}

TEST(ProcessGroupTest, SaysWhoDidNotCome) {
  ProcessGroupOptions options;
  options.size = 2;
  options.connect_timeout = absl::Milliseconds(200);
  EXPECT_THAT(JoinProcessGroup(options),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("rank 0 of 2 did not find the others")));
}

TEST(ProcessGroupTest, RefusesWhatCannotBe) {
  ProcessGroupOptions options;
  options.rank = 2;
  options.size = 2;
  EXPECT_THAT(
      JoinProcessGroup(options),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rank 2")));
  options.rank = 1;
  EXPECT_THAT(JoinProcessGroup(options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("not told where rank 0 is")));
  options.rank = 0;
  options.host = "no.such.host.invalid";
  EXPECT_THAT(JoinProcessGroup(options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("no.such.host.invalid")));
}

}  // namespace
}  // namespace retort::comm
