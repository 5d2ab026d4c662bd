// Jobs that are put on hold, and jobs that were given up and are not any more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/training_run.h"

namespace retort::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class PauseTest : public TrainingRunTest {
 protected:
  void Resume() {
    const ProcessResult resumed = service_.Cli({"jobs", "resume", "run"});
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_THAT(resumed.out, HasSubstr("goes on from its checkpoint of step "));
  }
};

TEST_F(PauseTest, PausedJobLetsOthersRunAndGoesOnBitForBit) {
  StartRun();
  const pid_t worker = service_.AwaitWorker("run");
  const ProcessResult paused = service_.Cli({"jobs", "pause", "run"});
  EXPECT_EQ(paused.code, 0) << paused.err;
  ASSERT_TRUE(service_.AwaitState("run", "PAUSED")) << service_.Events("run");
  EXPECT_TRUE(AwaitGone(worker));
  const std::vector<int64_t> steps = service_.CheckpointsOnDisk("run");
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(service_.Job("run")["state_reason"],
            absl::StrCat("paused at step ", steps.back(),
                         "; its checkpoint is written"));
  EXPECT_EQ(service_.Cli({"jobs", "pause", "run"}).code, 0)
      << "said again, it still is so";
  EXPECT_EQ(service_.Error(6, {"jobs", "delete", "run"})["reason"],
            "STATE_CONFLICT");

  // Its slots are free, and it stays where it is, whatever the service does.
  service_.Submit("other", TinyTeacher(data_->path(), 2));
  ASSERT_EQ(service_.AwaitEnd("other"), "SUCCEEDED");
  EXPECT_EQ(service_.Stop(), 0);
  service_.Start();
  EXPECT_EQ(service_.State("run"), "PAUSED");
  Resume();
  ExpectSameResult(/*attempts=*/2);
  EXPECT_THAT(WorkerLog(),
              HasSubstr(absl::StrCat("resumed from the checkpoint of step ",
                                     steps.back(), "\n")));
  EXPECT_EQ(service_.Error(6, {"jobs", "resume", "run"})["reason"],
            "STATE_CONFLICT");
  EXPECT_THAT(service_.Cli({"jobs", "watch", "run"}).out,
              AllOf(HasSubstr("PAUSING (paused by request)"),
                    HasSubstr("PAUSED (paused at step "),
                    HasSubstr("QUEUED (resumed by request; ")));
}

TEST_F(PauseTest, JobWhoseWorkerAndServiceDieWhilePausingIsPaused) {
  StartRun();
  const pid_t worker = service_.AwaitWorker("run");
  // It cannot answer: the job stays PAUSING.
  kill(worker, SIGSTOP);
  EXPECT_EQ(service_.Cli({"jobs", "pause", "run"}).code, 0);
  EXPECT_EQ(service_.State("run"), "PAUSING");
  EXPECT_THAT(service_.Error(6, {"jobs", "resume", "run"})["message"],
              HasSubstr("resume it once it is PAUSED"));
  service_.Kill();
  kill(worker, SIGKILL);
  ASSERT_TRUE(AwaitGone(worker));
  service_.Start();
  ASSERT_TRUE(service_.AwaitState("run", "PAUSED")) << service_.Events("run");
  Resume();
  ExpectSameResult(/*attempts=*/2);
}

TEST_F(PauseTest, PausedEstimateStartsAgainAndComesToTheSame) {
  service_.Start();
  service_.Submit("teacher", TinyTeacher(data_->path(), 2));
  ASSERT_EQ(service_.AwaitEnd("teacher"), "SUCCEEDED");
  const nlohmann::json spec = {{"estimate_preconditioning",
                                {{"teacher", "teacher"},
                                 {"data", {{"path", data_->path()}}},
                                 {"knots", 12},
                                 {"samples_per_knot", 256},
                                 {"batch_size", 16},
                                 {"trajectories", -1}}},
                               {"resources", {{"cpu_threads", 1}}}};
  service_.Submit("whole", spec);
  ASSERT_EQ(service_.AwaitEnd("whole"), "SUCCEEDED");
  service_.Submit("paused", spec);
  ASSERT_TRUE(service_.AwaitState("paused", "RUNNING"));
  EXPECT_EQ(service_.Cli({"jobs", "pause", "paused"}).code, 0);
  ASSERT_TRUE(service_.AwaitState("paused", "PAUSED"))
      << service_.Events("paused");
  EXPECT_THAT(service_.Job("paused")["state_reason"],
              HasSubstr("when resumed it starts again"));
  EXPECT_THAT(service_.Cli({"jobs", "resume", "paused"}).out,
              HasSubstr("it starts again"));
  ASSERT_EQ(service_.AwaitEnd("paused"), "SUCCEEDED");
  EXPECT_EQ(service_.Job("paused")["attempts"], 2);
  EXPECT_EQ(service_.Json({"models", "get", "paused"})["weights_sha256"],
            service_.Json({"models", "get", "whole"})["weights_sha256"]);
}

TEST_F(PauseTest, CancelledJobGoesOnWhenItIsResumed) {
  StartRun();
  EXPECT_EQ(service_.Cli({"jobs", "cancel", "run"}).code, 0);
  ASSERT_EQ(service_.AwaitEnd("run"), "CANCELLED");
  Resume();
  ExpectSameResult(/*attempts=*/2);
}

}  // namespace
}  // namespace retort::testing
