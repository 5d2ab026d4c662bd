#include "server/scheduler/queue_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/server/scheduler/cluster.h"

namespace retort::scheduler {
namespace {

using ::retort::testing::Cluster;
using ::testing::ElementsAre;

std::vector<std::string> Names(const Snapshot& snapshot,
                               const PolicyOptions& options) {
  QueueOrder order(snapshot, options);
  std::vector<std::string> names;
  Candidate next;
  while (order.Next(&next)) names.push_back(next.job->name);
  return names;
}

TEST(QueueOrderTest, YieldsClaimsFirstAndEveryJobOnce) {
  Cluster c(1, 8);
  c.AddProject("p");
  c.Queue("a", 1, absl::InfiniteDuration(), JobClass::kHigh);
  c.Queue("b", 1);
  c.AddClaim(c.Queue("claim", 1), JobClass::kNormal);
  EXPECT_THAT(Names(c.snapshot(), c.options), ElementsAre("claim", "a", "b"));
}

TEST(QueueOrderTest, PutsAProjectBackWhenOneOfItsJobsStarts) {
  Cluster c(1, 8);
  c.AddProject("p");
  const int q = c.AddProject("q");
  c.Queue("p1", 1);
  c.Queue("p2", 1);
  c.Queue("q1", 1, absl::InfiniteDuration(), JobClass::kNormal, q);
  EXPECT_THAT(Names(c.snapshot(), c.options), ElementsAre("p1", "p2", "q1"));
  QueueOrder order(c.snapshot(), c.options);
  Candidate next;
  ASSERT_TRUE(order.Next(&next));
  order.Started(next);
  ASSERT_TRUE(order.Next(&next));
  EXPECT_EQ(next.job->name, "q1");
}

TEST(QueueOrderTest, ForgetsAProjectThatIsDropped) {
  Cluster c(1, 8);
  c.AddProject("p");
  const int q = c.AddProject("q");
  c.Queue("p1", 1);
  c.Queue("q1", 1, absl::InfiniteDuration(), JobClass::kNormal, q);
  QueueOrder order(c.snapshot(), c.options);
  order.Drop(0);
  Candidate next;
  ASSERT_TRUE(order.Next(&next));
  EXPECT_EQ(next.job->name, "q1");
  EXPECT_FALSE(order.Next(&next));
}

TEST(QueueOrderTest, ChargesTheLargerOfGpusAndCpuSlots) {
  PolicyOptions options;
  options.gpus_per_cpu = 0.25;
  EXPECT_EQ(Charge({4, 8}, options), 4);
  EXPECT_EQ(Charge({1, 8}, options), 2);
}

// The aging bound: a head that has been the first since t, of class c, is
// before any of class c' that has been the first since (c' - c + 1) steps
// later, whatever the projects have used.
TEST(QueueOrderTest, NobodyIsPassedForeverByHigherClassesOrSmallerShares) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 2000; ++trial) {
    Cluster c(1, 8);
    std::map<std::string, std::pair<int, absl::Time>> heads;
    for (int p = 0; p < 4; ++p) {
      c.AddProject(absl::StrCat(p));
      c.projects.back().usage = random() % 1000000;
      for (int k = 0; k < 3; ++k) {
        const std::string name = absl::StrCat(p, "-", k);
        const auto job_class = static_cast<JobClass>(k);
        c.Queue(name, 1, absl::InfiniteDuration(), job_class, p);
        c.HeadSince(p, job_class) = c.now - absl::Hours(random() % 60);
        heads[name] = {k, c.HeadSince(p, job_class)};
      }
    }
    const auto names = Names(c.snapshot(), c.options);
    for (size_t i = 0; i < names.size(); ++i) {
      for (size_t j = i + 1; j < names.size(); ++j) {
        // i comes before j; so j must not have waited longer by so much.
        const auto& [ci, ti] = heads[names[i]];
        const auto& [cj, tj] = heads[names[j]];
        EXPECT_LT(ti, tj + (ci - cj + 1) * c.options.age_step) << trial;
      }
    }
  }
}

}  // namespace
}  // namespace retort::scheduler
