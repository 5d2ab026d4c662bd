// What becomes of jobs when a process stops without ending, or is left alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/training_run.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

using HangTest = TrainingRunTest;

TEST_F(HangTest, StoppedWorkerIsNamedAndReplacedByOneThatResumes) {
  StartRun();
  const pid_t worker = service_.AwaitWorker("run");
  kill(worker, SIGSTOP);
  EXPECT_TRUE(PollUntil(absl::Seconds(60), [this] {
    return service_.log().find("has not been heard of") != std::string::npos;
  })) << service_.log();
  EXPECT_THAT(
      service_.Events("run"),
      AllOf(ContainsRegex(absl::StrCat("rank 0 on .* .pid ", worker,
                                       ". has not been heard of for 3")),
            HasSubstr("last at step"),
            HasSubstr("goes on from its last checkpoint")));
  EXPECT_TRUE(AwaitGone(worker));
  ExpectSameResult(/*attempts=*/2);
}

TEST_F(HangTest, StoppedServiceBlamesNobody) {
  service_.SetOptions({"--cpu_slots=1", "--hang_timeout=5"});
  StartRun();
  kill(service_.pid(), SIGSTOP);
  // Longer than a worker may be silent. There is nothing to wait for.
  absl::SleepFor(absl::Seconds(8));
  kill(service_.pid(), SIGCONT);
  ExpectSameResult(/*attempts=*/1);
  EXPECT_THAT(service_.log(), HasSubstr("was not awake"));
  EXPECT_THAT(service_.Events("run"), Not(HasSubstr("not been heard of")));
}

TEST_F(HangTest, WorkerWhoseServiceIsGoneForGoodEndsByItself) {
  service_.SetOptions({"--cpu_slots=1", "--lease=2"});
  StartRun();
  const pid_t worker = service_.AwaitWorker("run");
  service_.Kill();
  ASSERT_TRUE(AwaitGone(worker));
  EXPECT_THAT(WorkerLog(), HasSubstr("no server for 2s: giving up"));
  service_.Start();
  ExpectSameResult(/*attempts=*/2);
}

// RETORT_OUTAGE_SECONDS=600 for the outage that the service promises to stand.
TEST_F(HangTest, WorkerTrainsOnThroughAnOutage) {
  int seconds = 5;
  if (const char* text = std::getenv("RETORT_OUTAGE_SECONDS")) {
    ASSERT_TRUE(absl::SimpleAtoi(text, &seconds)) << text;
  }
  service_.SetOptions(
      {"--cpu_slots=1", absl::StrCat("--lease=", seconds + 120)});
  service_.Start();
  service_.Submit("run", TinyTeacher(data_->path(), 100000000));
  ASSERT_GT(service_.AwaitCheckpoint("run"), 0);
  const pid_t worker = service_.AwaitWorker("run");
  const int64_t before = service_.CheckpointsOnDisk("run").back();
  service_.Kill();
  absl::SleepFor(absl::Seconds(seconds));
  const int64_t after = service_.CheckpointsOnDisk("run").back();
  EXPECT_GT(after, before);
  service_.Start();
  // More than it had when the service came back.
  ASSERT_TRUE(service_.AwaitStep("run", after + 1));
  EXPECT_EQ(service_.WorkerOf("jobs", "run"), worker);
  EXPECT_EQ(service_.Job("run")["attempts"], 1);
  EXPECT_EQ(service_.State("run"), "RUNNING");
  // What it measured meanwhile came too.
  bool measured = false;
  const json metrics = service_.Json({"jobs", "metrics", "run"});
  for (const json& point : metrics["series"][0]["points"]) {
    int64_t step = 0;
    ASSERT_TRUE(absl::SimpleAtoi(std::string(point["step"]), &step));
    measured |= step > before && step <= after;
  }
  EXPECT_TRUE(measured) << metrics["series"][0];
  service_.Json({"jobs", "cancel", "run"});
  EXPECT_TRUE(service_.AwaitState("run", "CANCELLED"));
}

}  // namespace
}  // namespace retort::testing
