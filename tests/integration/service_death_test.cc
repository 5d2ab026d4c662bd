// What becomes of jobs when retortd ends, well or badly.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/training_run.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

using ServiceDeathTest = TrainingRunTest;

TEST_F(ServiceDeathTest, KilledServiceFindsItsWorkerAgain) {
  StartRun();
  const pid_t worker = service_.AwaitWorker("run");
  service_.Kill();
  EXPECT_EQ(kill(worker, 0), 0) << "the worker trains on";
  service_.Start();
  ExpectSameResult(/*attempts=*/1);
  EXPECT_THAT(service_.log(), HasSubstr(absl::StrCat("found worker ", worker)));
  EXPECT_THAT(WorkerLog(), Not(HasSubstr("resumed")));
}

TEST_F(ServiceDeathTest, WorkerThatEndedWhileTheServiceWasAwayIsHeard) {
  StartRun();
  service_.Kill();
  ASSERT_TRUE(PollUntil(ServiceProcess::kPatience, [this] {
    return WorkerLog().find("ends: SUCCEEDED") != std::string::npos;
  }));
  service_.Start();
  ExpectSameResult(/*attempts=*/1);
  const json metrics = service_.Json({"jobs", "metrics", "run"});
  for (const json& series : metrics["series"]) {
    EXPECT_EQ(series["points"].back()["step"], absl::StrCat(kIterations))
        << "what it measured meanwhile is not lost";
  }
}

TEST_F(ServiceDeathTest, JobIsResumedWhenServiceAndWorkerAreKilled) {
  const int64_t step = StartRun();
  const pid_t worker = service_.AwaitWorker("run");
  service_.Kill();
  kill(worker, SIGKILL);
  ASSERT_TRUE(AwaitGone(worker));
  service_.Start();
  ExpectSameResult(/*attempts=*/2);
  EXPECT_THAT(WorkerLog(),
              ContainsRegex("resumed from the checkpoint of step [0-9]+"));
  EXPECT_GE(step, kCheckpointEvery);
  EXPECT_THAT(service_.Events("run"), HasSubstr("worker was gone"));
}

TEST_F(ServiceDeathTest, DamagedCheckpointIsPassedOverAloud) {
  StartRun();
  ASSERT_GT(service_.AwaitCheckpoint("run", kCheckpointEvery), 0);
  const pid_t worker = service_.AwaitWorker("run");
  service_.Kill();
  kill(worker, SIGKILL);
  ASSERT_TRUE(AwaitGone(worker));
  const std::vector<int64_t> steps = service_.CheckpointsOnDisk("run");
  ASSERT_EQ(steps.size(), 2u);
  const std::string newest =
      absl::StrCat(service_.job_dir("run"), "/checkpoints/",
                   absl::Dec(steps[1], absl::kZeroPad8));
  {
    std::fstream file(newest + "/tensors.safetensors",
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-100, std::ios::end);
    file.put('\x55');
    ASSERT_TRUE(file.good());
  }
  service_.Start();
  ExpectSameResult(/*attempts=*/2);
  EXPECT_THAT(WorkerLog(),
              HasSubstr(absl::StrCat("resumed from the checkpoint of step ",
                                     steps[0], "\n")));
  EXPECT_THAT(service_.Events("run"),
              AllOf(HasSubstr("SHA-256"),
                    HasSubstr(absl::StrCat("going back to step ", steps[0]))));
}

TEST_F(ServiceDeathTest, QueuedJobsSurviveAndRunByPriority) {
  StartRun();
  const json small = TinyTeacher(data_->path(), 2);
  service_.Submit("second", small);
  service_.Submit("third", small);
  const json urgent = {{"spec", small}, {"priority", 5}};
  const std::string file = service_.dir() / "urgent.yaml";
  std::ofstream(file) << urgent.dump();
  service_.Json({"jobs", "submit", "--id", "urgent", "-f", file});
  ASSERT_EQ(service_.State("urgent"), "QUEUED");
  service_.Kill();
  service_.Start();
  ASSERT_EQ(service_.State("third"), "QUEUED");
  std::vector<std::string> starts;
  for (const char* id : {"run", "urgent", "second", "third"}) {
    ASSERT_EQ(service_.AwaitEnd(id), "SUCCEEDED") << id;
    starts.push_back(service_.Job(id)["start_time"]);
  }
  EXPECT_TRUE(std::is_sorted(starts.begin(), starts.end()))
      << ::testing::PrintToString(starts);
}

TEST_F(ServiceDeathTest, WatchingSurvivesARestart) {
  StartRun();
  const std::string out = service_.dir() / "watch.out";
  ChildProcess watch({absl::StrCat(RETORT_BIN_DIR, "/retort"), "--server",
                      service_.grpc_address(), "jobs", "watch", "run"},
                     out, out);
  ASSERT_TRUE(PollUntil(ServiceProcess::kPatience, [&] {
    return Slurp(out).find("checkpoint at step") != std::string::npos;
  }));
  service_.Kill();
  ASSERT_TRUE(PollUntil(ServiceProcess::kPatience, [&] {
    return Slurp(out).find("server is away") != std::string::npos;
  }));
  service_.Start(service_.grpc_address());
  EXPECT_EQ(watch.Wait(ServiceProcess::kPatience), 0) << Slurp(out);
  EXPECT_THAT(Slurp(out), HasSubstr("run: SUCCEEDED"));
}

}  // namespace
}  // namespace retort::testing
