#include "core/comm/gradient_reducer.h"

#include <torch/autograd.h>
#include <torch/utils.h>

#include <vector>

#include "tests/core/comm/gang.h"

namespace retort::comm {
namespace {

using ::retort::testing::RunGang;

// Four leaves; two of them to a bucket with kSmall.
std::vector<at::Tensor> Leaves() {
  std::vector<at::Tensor> leaves;
  for (int i = 0; i < 4; ++i) {
    leaves.push_back(at::full({5}, i + 1.0).requires_grad_(true));
  }
  return leaves;
}

constexpr int64_t kSmall = 40;

// Counts the sums that are launched.
class CountingCommunicator : public SingleCommunicator {
 public:
  int size() const override { return 2; }
  std::unique_ptr<Pending> AllReduce(const at::Tensor& tensor) override {
    ++launched;
    return SingleCommunicator::AllReduce(tensor);
  }
  int launched = 0;
};

TEST(GradientReducerTest, GivesTheMeanOfWhatBackwardGaveTheRanks) {
  RunGang(2, [](Communicator& comm) {
    const auto p = Leaves();
    GradientReducer reducer(&comm, p, {kSmall});
    reducer.Begin({});
    ((p[0] * p[1] + p[2] + p[3].square()) * (comm.rank() + 1)).sum().backward();
    reducer.Flush();
    const auto g = reducer.Finish();
    EXPECT_TRUE(g[0].equal(at::full({5}, 3.0)));  // (2 + 4) / 2
    EXPECT_TRUE(g[1].equal(at::full({5}, 1.5)));
    EXPECT_TRUE(g[2].equal(at::full({5}, 1.5)));
    EXPECT_TRUE(g[3].equal(at::full({5}, 12.0)));
  });
}

// What c10d's reducer does not see.
TEST(GradientReducerTest, HearsOfGradientsThatAreTakenWithoutAccumulating) {
  RunGang(2, [](Communicator& comm) {
    const auto p = Leaves();
    GradientReducer reducer(&comm, p, {kSmall});
    reducer.Begin({});
    torch::autograd::grad({((p[0] + p[1] * p[2]) * (comm.rank() + 1)).sum()}, p,
                          {}, /*retain_graph=*/false,
                          /*create_graph=*/false, /*allow_unused=*/true);
    reducer.Flush();
    const auto g = reducer.Finish();
    EXPECT_TRUE(g[0].equal(at::full({5}, 1.5)));
    EXPECT_TRUE(g[1].equal(at::full({5}, 4.5)));
    EXPECT_FALSE(g[3].defined());
  });
}

TEST(GradientReducerTest, AddsWhatEarlierPartsGave) {
  RunGang(2, [](Communicator& comm) {
    const auto p = Leaves();
    GradientReducer reducer(&comm, p, {kSmall});
    std::vector<at::Tensor> before(4);
    before[0] = at::full({5}, 1.0 + comm.rank());
    before[3] = at::full({5}, 8.0);
    reducer.Begin(before, /*factor=*/0.5);
    (p[0] * 4).sum().backward();
    reducer.Flush();
    const auto g = reducer.Finish();
    EXPECT_TRUE(g[0].equal(at::full({5}, 3.5)));
    EXPECT_TRUE(g[3].equal(at::full({5}, 8.0)));
    EXPECT_FALSE(g[1].defined());
  });
}

TEST(GradientReducerTest, ARankWithoutAGradientCountsAsZero) {
  RunGang(2, [](Communicator& comm) {
    const auto p = Leaves();
    GradientReducer reducer(&comm, p, {kSmall});
    reducer.Begin({});
    p[comm.rank()].sum().backward();
    reducer.Flush();
    const auto g = reducer.Finish();
    EXPECT_TRUE(g[0].equal(at::full({5}, 0.5)));
    EXPECT_TRUE(g[1].equal(at::full({5}, 0.5)));
    EXPECT_FALSE(g[2].defined());
  });
}

TEST(GradientReducerTest, LaunchesASumWhileTheBackwardPassGoesOn) {
  CountingCommunicator comm;
  const auto p = Leaves();
  GradientReducer reducer(&comm, p, {kSmall});
  int launched = -1;
  p[1].register_hook([&](const at::Tensor&) { launched = comm.launched; });
  reducer.Begin({});
  // p[3] and p[2] come first, p[0] last.
  at::Tensor x = p[0] * 2;
  for (int i = 1; i < 4; ++i) x = x * p[i];
  x.sum().backward();
  EXPECT_EQ(launched, 1);
  reducer.Flush();
  EXPECT_EQ(comm.launched, 2);
}

TEST(GradientReducerTest, LaunchesNothingBeforeItsTime) {
  CountingCommunicator comm;
  const auto p = Leaves();
  GradientReducer reducer(&comm, p, {kSmall, /*overlap=*/false});
  p[3].sum().backward();  // before Begin(): nobody's business
  reducer.Begin({});
  (p[2] + p[3]).sum().backward();
  EXPECT_EQ(comm.launched, 0);
  reducer.Flush();
  EXPECT_EQ(comm.launched, 2);
}

// The order of sums is that of the buckets, whatever came first.
TEST(GradientReducerTest, WaitsForTheBucketsBeforeAFullOne) {
  CountingCommunicator comm;
  const auto p = Leaves();
  GradientReducer reducer(&comm, p, {kSmall});
  reducer.Begin({});
  (p[0] + p[1]).sum().backward();
  EXPECT_EQ(comm.launched, 0);
  reducer.Flush();
  EXPECT_EQ(comm.launched, 2);
}

TEST(GradientReducerTest, SeveralShareParametersAndAllButOneSleep) {
  RunGang(2, [](Communicator& comm) {
    const auto p = Leaves();
    GradientReducer first(&comm, p, {kSmall});
    GradientReducer second(&comm, p, {kSmall});
    first.Begin({});
    (p[0] * 2).sum().backward();
    first.Flush();
    second.Begin({});
    (p[0] * (4 + 4 * comm.rank())).sum().backward();
    second.Flush();
    EXPECT_TRUE(first.Finish()[0].equal(at::full({5}, 2.0)));
    EXPECT_TRUE(second.Finish()[0].equal(at::full({5}, 6.0)));
  });
}

}  // namespace
}  // namespace retort::comm
