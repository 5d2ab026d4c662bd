// Signals that ask: SIGTERM, and SIGINT, which is Ctrl-C.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/training_run.h"

namespace retort::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class StopSignalTest : public TrainingRunTest,
                       public ::testing::WithParamInterface<int> {
 protected:
  // What the process that gets the signal logs.
  static std::string Said() {
    return absl::StrCat("signal ", GetParam(), ": stopping");
  }
};

TEST_P(StopSignalTest, ServiceEndsWellAndTheNextStartGoesOn) {
  StartRun();
  const std::string followed = service_.dir() / "follow.out";
  ChildProcess follow({absl::StrCat(RETORT_BIN_DIR, "/retort"), "--server",
                       service_.grpc_address(), "jobs", "logs", "run", "-f"},
                      followed, followed);
  ASSERT_TRUE(PollUntil(ServiceProcess::kPatience, [&] {
    return Slurp(followed).find("step 10/") != std::string::npos;
  })) << "logs can be followed";
  const pid_t worker = service_.AwaitWorker("run");
  const absl::Time asked = absl::Now();
  EXPECT_EQ(service_.Stop(GetParam()), 0) << service_.log();
  EXPECT_LT(absl::Now() - asked, absl::Seconds(30));
  EXPECT_THAT(service_.log(), HasSubstr(Said()));
  EXPECT_TRUE(AwaitGone(worker));
  const std::vector<int64_t> steps = service_.CheckpointsOnDisk("run");
  ASSERT_FALSE(steps.empty());
  const std::string at =
      absl::StrCat("at step ", steps.back(), "; its checkpoint is written");
  EXPECT_THAT(WorkerLog(), HasSubstr(at)) << "not a step is lost";
  service_.Start(service_.grpc_address());
  ExpectSameResult(/*attempts=*/2);
  EXPECT_THAT(WorkerLog(),
              HasSubstr(absl::StrCat("resumed from the checkpoint of step ",
                                     steps.back(), "\n")));
  EXPECT_EQ(follow.Wait(ServiceProcess::kPatience), 0) << Slurp(followed);
  EXPECT_THAT(Slurp(followed), HasSubstr("ends: SUCCEEDED"))
      << "who follows goes on with the next server";
  EXPECT_THAT(service_.Events("run"), HasSubstr(at));
}

TEST_P(StopSignalTest, WorkerWritesACheckpointFirst) {
  StartRun();
  kill(service_.AwaitWorker("run"), GetParam());
  ExpectSameResult(/*attempts=*/2);
  const std::string events = service_.Events("run");
  EXPECT_THAT(events, ContainsRegex("stopped by a signal at step [0-9]+; its "
                                    "checkpoint is written"));
  EXPECT_THAT(WorkerLog(), HasSubstr(Said()));
  EXPECT_THAT(events, Not(HasSubstr("worker lost")));
}

INSTANTIATE_TEST_SUITE_P(, StopSignalTest, ::testing::Values(SIGTERM, SIGINT),
                         [](const auto& info) {
                           return info.param == SIGINT ? "Sigint" : "Sigterm";
                         });

}  // namespace
}  // namespace retort::testing
