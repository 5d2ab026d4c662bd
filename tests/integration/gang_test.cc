// What becomes of a gang of two ranks when something of it stops or ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/training_run.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class GangTest : public TrainingRun<2> {
 protected:
  // Series of a job by name, every point, without the one that is measured
  // with a clock.
  json Series(const std::string& job) {
    const json metrics =
        service_.Json({"jobs", "metrics", job, "--points", "1000"});
    json series = json::object();
    for (const json& one : metrics["series"]) {
      if (one["name"] != "images_per_second") {
        series[one["name"]] = one["points"];
      }
    }
    return series;
  }
};

TEST_F(GangTest, LossCurveIsThatOfOneRank) {
  service_.Start();
  service_.Submit("run", Spec());
  json spec = Spec();
  spec["resources"]["world_size"] = 1;
  service_.Submit("alone", spec);
  ASSERT_EQ(service_.AwaitEnd("run"), "SUCCEEDED") << WorkerLog();
  ASSERT_EQ(service_.AwaitEnd("alone"), "SUCCEEDED");
  const json two = Series("run"), one = Series("alone");
  ASSERT_TRUE(one.contains("loss")) << one;
  // A point for every five steps.
  EXPECT_THAT(one["loss"], SizeIs(kIterations / 5));
  ASSERT_EQ(two.size(), one.size()) << two << one;
  for (const auto& [name, points] : one.items()) {
    ASSERT_TRUE(two.contains(name)) << name;
    ASSERT_EQ(two[name].size(), points.size()) << name;
    for (size_t i = 0; i < points.size(); ++i) {
      EXPECT_EQ(two[name][i]["step"], points[i]["step"]) << name;
      const double a = points[i]["value"], b = two[name][i]["value"];
      EXPECT_LE(std::abs(a - b) / std::max(std::abs(a), 1e-6), 1e-4)
          << name << " of step " << points[i]["step"] << ": " << a << ", " << b;
    }
  }
}

TEST_F(GangTest, RanksAreShownToWhoAsks) {
  StartRun();
  const std::vector<pid_t> pids = service_.RanksOf("run");
  ASSERT_THAT(pids, SizeIs(2));
  const json job = service_.Job("run");
  ASSERT_THAT(job["ranks"], SizeIs(2));
  EXPECT_EQ(job["ranks"][1]["rank"], 1);
  EXPECT_EQ(job["ranks"][1]["pid"], absl::StrCat(pids[1]));
  EXPECT_THAT(service_.Cli({"jobs", "get", "run"}).out,
              HasSubstr(absl::StrCat("pid ", pids[1], ", step ")));
  ExpectSameResult(/*attempts=*/1);
  for (const pid_t pid : pids) EXPECT_TRUE(AwaitGone(pid));
}

TEST_F(GangTest, KilledRankTakesTheOtherWithItAndBothResume) {
  StartRun();
  kill(service_.RanksOf("run").at(1), SIGKILL);
  ExpectSameResult(/*attempts=*/2);
  EXPECT_THAT(service_.Events("run"),
              ContainsRegex("worker lost: rank 1 on .*: killed by signal 9"));
}

TEST_F(GangTest, KilledRankZeroIsNamedToo) {
  StartRun();
  kill(service_.RanksOf("run").at(0), SIGKILL);
  ExpectSameResult(/*attempts=*/2);
  EXPECT_THAT(service_.Events("run"),
              ContainsRegex("worker lost: rank 0 on .*: killed by signal 9"));
}

// Rank 1 is stopped while it waits, in the middle of the run, for rank 0.
TEST_F(GangTest, StoppedRankIsNamedAndTheGangResumes) {
  StartRun();
  const std::vector<pid_t> pids = service_.RanksOf("run");
  ASSERT_THAT(pids, SizeIs(2));
  // As they are seen until the verdict.
  json ranks;
  const auto look = [&] {
    const json job = service_.Job("run");
    if (job["attempts"] == 1 && job["ranks"].size() == 2) ranks = job["ranks"];
  };
  kill(pids[0], SIGSTOP);
  ASSERT_TRUE(PollUntil(absl::Seconds(20), [&] {
    look();
    return !ranks.empty() && ranks[1]["step"] != "0" &&
           ranks[1]["activity"] == "all-reduce";
  })) << ranks;
  kill(pids[1], SIGSTOP);
  kill(pids[0], SIGCONT);
  EXPECT_TRUE(PollUntil(absl::Seconds(60), [&] {
    look();
    return service_.log().find("has not been heard of") != std::string::npos;
  })) << service_.log();
  ExpectSameResult(/*attempts=*/2);
  ASSERT_THAT(ranks, SizeIs(2));
  EXPECT_EQ(ranks[0]["activity"], "all-reduce") << "with the other";
  const std::string node = ranks[1]["node"], step = ranks[1]["step"];
  EXPECT_FALSE(node.empty());
  EXPECT_THAT(
      service_.Events("run"),
      ContainsRegex(absl::StrCat(
          "rank 1 on ", node, " .pid ", pids[1],
          ". has not been heard of for 3[0-9] s; last at step ", step,
          ", in \"all-reduce\"; the gang is stopped and goes on from its last "
          "checkpoint")));
}

TEST_F(GangTest, KilledServiceFindsBothRanksAgain) {
  StartRun();
  const std::vector<pid_t> pids = service_.RanksOf("run");
  service_.Kill();
  service_.Start();
  ExpectSameResult(/*attempts=*/1);
  EXPECT_THAT(service_.log(),
              HasSubstr(absl::StrCat("found worker ", pids[0], ", ", pids[1])));
  EXPECT_THAT(WorkerLog(), Not(HasSubstr("resumed from")));
}

TEST_F(GangTest, ServiceEndsWhatIsLeftOfAGangAndStartsItAgain) {
  StartRun();
  const std::vector<pid_t> pids = service_.RanksOf("run");
  service_.Kill();
  kill(pids.at(1), SIGKILL);
  service_.Start();
  ExpectSameResult(/*attempts=*/2);
}

TEST_F(GangTest, GangWhoseServiceIsGoneForGoodEndsByItself) {
  service_.SetOptions({"--cpu_slots=2", "--lease=2"});
  StartRun();
  const std::vector<pid_t> pids = service_.RanksOf("run");
  service_.Kill();
  for (const pid_t pid : pids) EXPECT_TRUE(AwaitGone(pid));
  service_.Start();
  ExpectSameResult(/*attempts=*/2);
}

TEST_F(GangTest, NoRankIsLeftWhenOneStandsStillAndTheServiceIsGone) {
  // The worker's --grace.
  ASSERT_EQ(setenv("RETORT_WORKER_GRACE", "2", 1), 0);
  service_.SetOptions({"--cpu_slots=2", "--lease=2"});
  StartRun();
  unsetenv("RETORT_WORKER_GRACE");
  const std::vector<pid_t> pids = service_.RanksOf("run");
  ASSERT_THAT(pids, SizeIs(2));
  service_.Kill();
  // Not before: the system wakes, and hangs up, what stands still in a process
  // group that becomes an orphan.
  kill(pids[1], SIGSTOP);
  EXPECT_TRUE(AwaitGone(pids[0])) << "it waits for the other in a collective";
  EXPECT_THAT(WorkerLog(), HasSubstr("the lease has been over for 2s"));
  kill(pids[1], SIGCONT);
  EXPECT_TRUE(AwaitGone(pids[1]));
  service_.Start();
  ExpectSameResult(/*attempts=*/2);
}

TEST_F(GangTest, PausedGangWritesACheckpointAndGoesOnFromIt) {
  StartRun();
  service_.Json({"jobs", "pause", "run"});
  ASSERT_TRUE(service_.AwaitState("run", "PAUSED"));
  EXPECT_THAT(service_.Job("run")["state_reason"], HasSubstr("step"));
  service_.Json({"jobs", "resume", "run"});
  ExpectSameResult(/*attempts=*/2);
}

}  // namespace
}  // namespace retort::testing
