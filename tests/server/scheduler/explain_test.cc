#include "server/scheduler/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/scheduler/cluster.h"

namespace retort::scheduler {
namespace {

using ::retort::testing::Cluster;
using ::testing::HasSubstr;

class ExplainTest : public ::testing::Test {
 protected:
  ExplainTest() {
    c_.AddProject("alpha");
    c_.now = absl::FromCivil(absl::CivilMinute(2026, 11, 30, 12, 20),
                             absl::UTCTimeZone());
  }
  Explanation Of(const std::string& name) {
    return *Explain(c_.snapshot(), c_.options, name);
  }
  // Everything taken for two hours.
  void Fill() {
    c_.Run("x", {{0, 8}}, absl::Hours(2));
    c_.Run("y", {{1, 8}}, absl::Hours(3));
  }
  Cluster c_{2, 8};
};

TEST_F(ExplainTest, OfAJobThatStarts) {
  c_.Queue("job", 8);
  const Explanation explained = Of("job");
  EXPECT_EQ(explained.reason, WaitReason::kStarts);
  EXPECT_EQ(explained.words, "starts now");
  EXPECT_EQ(explained.earliest, c_.now);
}

TEST_F(ExplainTest, OfTheFirstInLine) {
  Fill();
  c_.Queue("job", 16);
  const Explanation explained = Of("job");
  EXPECT_EQ(explained.reason, WaitReason::kFirst);
  EXPECT_EQ(explained.words,
            "waits for 2 nodes with 8 free GPUs each (0 now); it is first in "
            "line; by expected ends it may start at about 15:20 UTC");
  EXPECT_EQ(explained.before, 0);
  EXPECT_EQ(explained.earliest, c_.now + absl::Hours(3));
}

TEST_F(ExplainTest, OfOneBehindOthers) {
  Fill();
  c_.Queue("a", 16);
  c_.Queue("b", 16);
  c_.Queue("job", 1);
  const Explanation explained = Of("job");
  EXPECT_EQ(explained.reason, WaitReason::kNoRoom);
  EXPECT_EQ(explained.before, 2);
  EXPECT_EQ(explained.words,
            "waits for a node with 1 free GPU (0 now); 2 jobs are before it; "
            "by expected ends it may start at 14:20 UTC or later");
}

TEST_F(ExplainTest, OfOneThatWouldDelayTheFirst) {
  c_.Run("x", {{0, 8}}, absl::Hours(2));
  c_.Queue("a", 16);
  c_.Queue("job", 8, absl::Hours(3));
  const Explanation explained = Of("job");
  EXPECT_EQ(explained.reason, WaitReason::kBehind);
  EXPECT_THAT(explained.words, HasSubstr("1 job is before it; it would fit "
                                         "now, but the first in line waits"));
}

TEST_F(ExplainTest, OfOneWithoutRoomBehindOthers) {
  c_.Run("x", {{0, 8}}, absl::Hours(30));
  c_.Run("y", {{1, 7}}, absl::Hours(40));
  c_.Queue("a", 16);
  c_.Queue("job", 2, absl::Hours(1));
  const Explanation explained = Of("job");
  EXPECT_EQ(explained.reason, WaitReason::kNoRoom);
  EXPECT_THAT(explained.words,
              HasSubstr("may start on 1 Dec at 18:20 UTC or later"));
}

TEST_F(ExplainTest, OfOneTooFarBackToBeLookedAt) {
  Fill();
  c_.options.depth = 2;
  for (int i = 0; i < 9; ++i) c_.Queue(absl::StrCat(i), 1);
  EXPECT_EQ(Of("8").reason, WaitReason::kBehind);
  EXPECT_EQ(Of("8").before, 8);
}

TEST_F(ExplainTest, OfUnknownEnds) {
  c_.Run("x", {{0, 8}});
  c_.Queue("job", 16);
  RunningGang& gang = c_.gangs().back();
  EXPECT_EQ(Of("job").words,
            "waits for 2 nodes with 8 free GPUs each (1 now); it is first in "
            "line; what must end first has no time_limit, so no time is "
            "promised");
  gang.estimated_end = c_.now + absl::Hours(2);
  EXPECT_THAT(Of("job").words,
              HasSubstr("so no time is promised; at its present speed it ends "
                        "at about 14:20 UTC"));
  gang.estimated_end = c_.now + absl::Seconds(40);
  EXPECT_THAT(Of("job").words, HasSubstr("it ends in about 40 s"));
  EXPECT_EQ(Of("job").earliest, absl::InfiniteFuture());
}

TEST_F(ExplainTest, TellsShortWaitsInSeconds) {
  c_.Run("x", {{0, 8}, {1, 8}}, absl::Seconds(119));
  c_.Queue("first", 16);
  c_.Queue("second", 1);
  EXPECT_THAT(Of("first").words, HasSubstr("may start in about 119 s"));
  EXPECT_THAT(Of("second").words, HasSubstr("may start in 119 s or later"));
  c_.gangs().back().expected_end = c_.now - absl::Seconds(5);
  EXPECT_THAT(Of("first").words, HasSubstr("may start in about 1 s"));
}

TEST_F(ExplainTest, OfEachQuota) {
  Quota& quota = c_.projects[0].quota;
  c_.Run("x", {{0, 6}});
  c_.Queue("job", 3);
  c_.Queue("behind", 1);
  quota.max_gpus = 8;
  EXPECT_EQ(Of("job").reason, WaitReason::kQuota);
  EXPECT_EQ(Of("job").words,
            "waits because project alpha is at its quota of 8 GPUs: 6 are in "
            "use and 3 are needed");
  EXPECT_EQ(Of("behind").words,
            Of("job").words + "; job is before it and waits for the same");
  quota.max_jobs = 1;
  EXPECT_EQ(Of("job").words,
            "waits because project alpha is at its quota of 1 running job");
  quota = {};
  quota.max_gpu_hours = quota.used_gpu_hours = 1000;
  quota.renews = c_.now + absl::Hours(11) + absl::Minutes(40);
  EXPECT_EQ(Of("job").words,
            "waits because project alpha has used or promised 1000 of its "
            "quota of 1000 GPU-hours a month, which is renewed at 00:00 UTC");
  EXPECT_EQ(Of("job").earliest, quota.renews);
}

TEST_F(ExplainTest, OfStoppingGangs) {
  RunningGang& prey = c_.Run("prey", {{0, 8}}, absl::Hours(9), JobClass::kLow);
  prey.preemptible = true;
  c_.Run("x", {{1, 8}}, absl::Hours(9));
  QueuedJob& job =
      c_.Queue("job", 8, absl::InfiniteDuration(), JobClass::kHigh);
  EXPECT_EQ(Of("job").reason, WaitReason::kStopping);
  EXPECT_EQ(Of("job").words,
            "waits for 1 job of a lower class to write a checkpoint and stop; "
            "may start at about 12:22 UTC");
  c_.AddClaim(job, JobClass::kHigh, 0, {{0, 8}});
  prey.stopping = true;
  prey.expected_end = c_.now + absl::Minutes(1);
  EXPECT_EQ(Of("job").reason, WaitReason::kStopping);
  EXPECT_THAT(Of("job").words, HasSubstr("may start in about 60 s"));
}

TEST_F(ExplainTest, OfNodesThatAreDownOfALossAndOfNever) {
  c_.nodes()[0].usable = false;
  c_.Queue("large", 16);
  c_.Queue("never", 17);
  c_.Queue("unlucky", 1).not_before = c_.now + absl::Minutes(5);
  EXPECT_EQ(Of("large").reason, WaitReason::kNodesDown);
  EXPECT_THAT(Of("large").words,
              HasSubstr("; nodes that it needs are drained or down"));
  EXPECT_EQ(Of("never").words,
            "can never start here: needs 17 GPUs, but the cluster has 16");
  EXPECT_EQ(Of("unlucky").words,
            "waits after a failed try; the next one is due at 12:25 UTC");
  EXPECT_EQ(Of("unlucky").earliest, c_.now + absl::Minutes(5));
}

TEST_F(ExplainTest, CountsInTheOrderInWhichProjectsHaveTheirTurn) {
  const int beta = c_.AddProject("beta");
  Fill();
  for (int i = 0; i < 4; ++i) c_.Queue(absl::StrCat("a", i), 4);
  for (int i = 0; i < 4; ++i) {
    c_.Queue(absl::StrCat("b", i), 4, absl::InfiniteDuration(),
             JobClass::kNormal, beta);
  }
  // beta runs nothing: all 16 GPUs' worth of turns are its first.
  EXPECT_EQ(Of("b3").before, 3);
  EXPECT_EQ(Of("a0").before, 4);
}

TEST_F(ExplainTest, KnowsNoOtherJobs) {
  EXPECT_EQ(Explain(c_.snapshot(), c_.options, "x").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(ExplainTest, TheFirstOfAQueueAreExplainedAsEachAlone) {
  Fill();
  const int beta = c_.AddProject("beta", 2);
  const int limited = c_.AddProject("limited");
  c_.projects[limited].quota.max_jobs = 0;
  const JobClass normal = JobClass::kNormal;
  const absl::Duration endless = absl::InfiniteDuration();
  for (int i = 0; i < 4; ++i) {
    c_.Queue(absl::StrCat("a", i), 16, endless, normal, 0);
    c_.Queue(absl::StrCat("b", i), 1, absl::Hours(1), normal, beta);
    c_.Queue(absl::StrCat("l", i), 1, endless, normal, limited);
    c_.Queue(absl::StrCat("h", i), 2, endless, JobClass::kHigh, beta);
  }
  c_.Queue("later", 1).not_before = c_.now + absl::Minutes(3);
  const std::vector<QueueEntry> entries =
      ExplainFirst(c_.snapshot(), c_.options, 100);
  ASSERT_EQ(entries.size(), 17u);
  EXPECT_EQ(entries[0].job->name, "h0");
  EXPECT_EQ(entries[0].job_class, JobClass::kHigh);
  for (const QueueEntry& entry : entries) {
    const Explanation alone = Of(entry.job->name);
    EXPECT_EQ(entry.explanation.words, alone.words) << entry.job->name;
    EXPECT_EQ(entry.explanation.before, alone.before) << entry.job->name;
    EXPECT_EQ(entry.explanation.reason, alone.reason) << entry.job->name;
    EXPECT_EQ(entry.explanation.earliest, alone.earliest) << entry.job->name;
  }
  EXPECT_EQ(ExplainFirst(c_.snapshot(), c_.options, 3).size(), 3u);
}

}  // namespace
}  // namespace retort::scheduler
