// What becomes of jobs and deployments when their worker ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/integration/training_run.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

using WorkerDeathTest = TrainingRunTest;

std::string LastLine(const std::string& log) {
  const std::vector<std::string> lines =
      absl::StrSplit(log, '\n', absl::SkipWhitespace());
  return lines.empty() ? "no log" : lines.back();
}

TEST_F(WorkerDeathTest, KilledWorkerIsReplacedByOneThatResumes) {
  StartRun();
  kill(service_.AwaitWorker("run"), SIGKILL);
  ExpectSameResult(/*attempts=*/2);
  EXPECT_THAT(WorkerLog(),
              ContainsRegex("resumed from the checkpoint of step [0-9]+"));
  EXPECT_THAT(service_.Events("run"),
              AllOf(HasSubstr("worker lost"), HasSubstr("signal 9"),
                    HasSubstr("its last log lines")));
  EXPECT_THAT(service_.HttpGet("/metrics"),
              HasSubstr("retort_worker_failures_total{role=\"task\"} 1"));
}

// docs/reliability.md, "Tries".
TEST_F(WorkerDeathTest, JobWhoseWorkerIsKilledAgainAndAgainFailsInTheEnd) {
  service_.Start();
  // No checkpoint ever comes of it.
  service_.Submit("run", TinyTeacher(data_->path(), 100000000, 100000000));
  pid_t killed = 0;
  for (int attempt = 1; attempt <= 4; ++attempt) {
    json job;
    ASSERT_TRUE(PollUntil(ServiceProcess::kPatience,
                          [&] {
                            job = service_.Job("run");
                            return job["state"] == "STATE_RUNNING" &&
                                   job["attempts"] == attempt &&
                                   job.contains("ranks") &&
                                   job["ranks"][0].contains("pid");
                          }))
        << job << service_.log();
    const pid_t worker = service_.WorkerOf("jobs", "run");
    ASSERT_NE(worker, 0);
    ASSERT_NE(worker, killed);
    kill(killed = worker, SIGKILL);
  }
  ASSERT_EQ(service_.AwaitEnd("run"), "FAILED");
  EXPECT_TRUE(service_.CheckpointsOnDisk("run").empty());
  EXPECT_THAT(
      service_.Job("run")["state_reason"].get<std::string>(),
      AllOf(ContainsRegex("worker lost: killed by signal 9 .Killed., 4 times "
                          "in a row without a new checkpoint; its last "
                          "log lines:"),
            HasSubstr(LastLine(WorkerLog()))));
  const std::string events = service_.Events("run");
  for (int tries = 1; tries <= 3; ++tries) {
    EXPECT_THAT(events,
                ContainsRegex(absl::StrCat(
                    "killed by signal 9.*starts again, try ", tries, " of 3")));
  }
  EXPECT_THAT(service_.HttpGet("/metrics"),
              HasSubstr("retort_worker_failures_total{role=\"task\"} 4"));
}

TEST_F(WorkerDeathTest, StudentIsResumedBitForBitToo) {
  service_.Start();
  service_.Submit("teacher", TinyTeacher(data_->path(), 2));
  ASSERT_EQ(service_.AwaitEnd("teacher"), "SUCCEEDED");
  const json spec = {{"distill",
                      {{"teacher", "teacher"},
                       {"method", "ctm"},
                       {"data", {{"path", data_->path()}}},
                       {"grid_size", 6},
                       {"training",
                        {{"iterations", 40},
                         {"batch_size", 2},
                         {"checkpoint_every", 10},
                         {"log_every", 5}}}}},
                     {"resources", {{"cpu_threads", 1}}}};
  service_.Submit("whole", spec);
  service_.Submit("disturbed", spec);
  ASSERT_EQ(service_.AwaitEnd("whole"), "SUCCEEDED");
  ASSERT_GT(service_.AwaitCheckpoint("disturbed"), 0);
  kill(service_.AwaitWorker("disturbed"), SIGKILL);
  ASSERT_EQ(service_.AwaitEnd("disturbed"), "SUCCEEDED");
  EXPECT_EQ(service_.Job("disturbed")["attempts"], 2);
  EXPECT_EQ(service_.Json({"models", "get", "disturbed"})["weights_sha256"],
            service_.Json({"models", "get", "whole"})["weights_sha256"]);
}

TEST_F(WorkerDeathTest, CancelledJobLeavesACheckpointAndNoModel) {
  StartRun();
  EXPECT_EQ(service_.Cli({"jobs", "cancel", "run"}).code, 0);
  ASSERT_EQ(service_.AwaitEnd("run"), "CANCELLED");
  const std::vector<int64_t> steps = service_.CheckpointsOnDisk("run");
  ASSERT_FALSE(steps.empty());
  EXPECT_THAT(service_.Job("run")["state_reason"],
              absl::StrCat("cancelled at step ", steps.back(),
                           "; its checkpoint is written"));
  service_.Error(3, {"models", "get", "run"});
  const ProcessResult watch = service_.Cli({"jobs", "watch", "run"});
  EXPECT_EQ(watch.code, 1) << watch.out;

  EXPECT_EQ(service_.Cli({"jobs", "cancel", "run"}).code, 0)
      << "said again, it still is so";
  EXPECT_EQ(service_.Cli({"jobs", "delete", "run"}).code, 0);
  service_.Error(3, {"jobs", "get", "run"});
  EXPECT_FALSE(std::filesystem::exists(service_.job_dir("run")));
}

TEST_F(WorkerDeathTest, QueuedJobIsCancelledAtOnceAndARunningOneNotDeleted) {
  StartRun();
  service_.Submit("waiting", TinyTeacher(data_->path(), 2));
  EXPECT_EQ(service_.Cli({"jobs", "cancel", "waiting"}).code, 0);
  EXPECT_EQ(service_.State("waiting"), "CANCELLED");
  EXPECT_EQ(service_.Error(6, {"jobs", "delete", "run"})["reason"],
            "STATE_CONFLICT");
  EXPECT_TRUE(PollUntil(ServiceProcess::kPatience, [this] {
    return service_.HttpGet("/metrics")
               .find("retort_training_images_per_second{") != std::string::npos;
  })) << "a running job has a series of its own";
  EXPECT_THAT(service_.HttpGet("/metrics"),
              HasSubstr("retort_cpu_slots_used 1"));
}

TEST_F(WorkerDeathTest, DeploymentOutlivesItsReplicaAndTheService) {
  service_.Start();
  service_.Submit("model", TinyTeacher(data_->path(), 2));
  ASSERT_EQ(service_.AwaitEnd("model"), "SUCCEEDED");
  const json late = service_.Error(6, {"jobs", "cancel", "model"});
  EXPECT_EQ(late["reason"], "STATE_CONFLICT");
  service_.Json({"deployments", "create", "clothes", "--model", "model",
                 "--threads", "1", "--wait"});
  const auto sample = [this] {
    return service_.Cli(
        {"sample", "clothes", "-n", "2", "--steps", "2", "--grid", "-"});
  };
  const std::string before = sample().out;
  ASSERT_THAT(before, HasSubstr("PNG"));
  // A request may meet the moment in which none is ready.
  const auto same_again = [&] {
    return PollUntil(ServiceProcess::kPatience, [&] {
      const ProcessResult result = sample();
      EXPECT_THAT(result.code, ::testing::AnyOf(0, 5)) << result.err;
      return result.code == 0 && result.out == before;
    });
  };

  const pid_t replica = service_.WorkerOf("deployments", "clothes");
  ASSERT_NE(replica, 0);
  kill(replica, SIGKILL);
  ASSERT_TRUE(AwaitGone(replica));
  EXPECT_TRUE(same_again()) << "after the replica was killed";

  // The killed one's replica may still look for it while this one's serves.
  service_.Kill();
  service_.Start();
  EXPECT_TRUE(same_again()) << "after the service was killed";

  EXPECT_EQ(service_.Stop(), 0);
  EXPECT_TRUE(PollUntil(ServiceProcess::kPatience, [this] {
    return service_.WorkerOf("deployments", "clothes") == 0;
  })) << "no replica is left behind";
  service_.Start();
  EXPECT_TRUE(same_again()) << "after the service was restarted";
}

}  // namespace
}  // namespace retort::testing
