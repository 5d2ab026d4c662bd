// Jobs made of other jobs, and jobs that go back to an earlier checkpoint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
using ::testing::Not;

class CloneTest : public TrainingRunTest {
 protected:
  // "run", put on hold with checkpoints in the middle; returns their steps.
  std::vector<int64_t> PausedRun() {
    StartRun();
    EXPECT_EQ(service_.Cli({"jobs", "pause", "run"}).code, 0);
    EXPECT_TRUE(service_.AwaitState("run", "PAUSED")) << service_.Events("run");
    const std::vector<int64_t> steps = service_.CheckpointsOnDisk("run");
    EXPECT_FALSE(steps.empty());
    return steps;
  }
};

TEST_F(CloneTest, ACloneIsANewJobWithTheChangesAsked) {
  service_.Start();
  service_.Submit("old", TinyTeacher(data_->path(), 2));
  ASSERT_EQ(service_.AwaitEnd("old"), "SUCCEEDED");
  const ProcessResult cloned =
      service_.Cli({"jobs", "clone", "old", "--id", "new", "--set",
                    "spec.train_teacher.training={iterations: 3, seed: 0}",
                    "--set", "labels.team=vision"});
  ASSERT_EQ(cloned.code, 0) << cloned.err;
  EXPECT_THAT(cloned.out, HasSubstr("cloned old as new;"));
  ASSERT_EQ(service_.AwaitEnd("new"), "SUCCEEDED");
  const nlohmann::json job = service_.Job("new");
  const nlohmann::json& training = job["spec"]["train_teacher"]["training"];
  EXPECT_EQ(training["iterations"], "3");
  EXPECT_EQ(training["seed"], "0");
  EXPECT_EQ(training["batch_size"], "2");
  EXPECT_EQ(job["labels"]["team"], "vision");
  EXPECT_EQ(service_.Error(4, {"jobs", "clone", "old", "--set",
                               "spec.distill.method=cm"})["reason"],
            "INVALID_ARGUMENT");
}

TEST_F(CloneTest, ListsTheJobsThatFlagsAndFilterHoldFor) {
  service_.Start();
  service_.Submit("one", TinyTeacher(data_->path(), 2),
                  {"--set", "labels.team=a \"b\"", "--priority-class", "low"});
  service_.Submit("two", TinyTeacher(data_->path(), 2));
  const auto list = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"jobs", "list"});
    return service_.Cli(arguments).out;
  };
  EXPECT_THAT(
      list({"--label", "team=a \"b\"", "--task", "train-teacher"}),
      AllOf(HasSubstr("one"), HasSubstr(" low "), Not(HasSubstr("two"))));
  EXPECT_THAT(
      list({"--filter", "priority_class = normal", "--task", "train_teacher"}),
      AllOf(HasSubstr("two"), Not(HasSubstr("one"))));
  EXPECT_THAT(
      service_.Error(4, {"jobs", "list", "--filter", "job_id ~ x"})["message"],
      HasSubstr("at character 8: expected one of"));
}

TEST_F(CloneTest, ACloneOfACheckpointGoesOnBitForBitThoughTheOldJobIsGone) {
  const std::vector<int64_t> steps = PausedRun();
  const int64_t step = steps.back();
  EXPECT_THAT(service_.Error(
                  3, {"jobs", "clone", "run", "--from-step", "7"})["message"],
              AllOf(HasSubstr("no checkpoint of step 7"),
                    HasSubstr(absl::StrCat(step))));
  EXPECT_THAT(
      service_.Error(
          4,
          {"jobs", "clone", "run", "--from-step", absl::StrCat(step), "--set",
           "spec.train_teacher.network.model_channels=16"})["message"],
      HasSubstr("another network"));
  const ProcessResult cloned =
      service_.Cli({"jobs", "clone", "run", "--id", "clone", "--from-step",
                    absl::StrCat(step)});
  ASSERT_EQ(cloned.code, 0) << cloned.err;
  EXPECT_EQ(service_.Cli({"jobs", "cancel", "run"}).code, 0);
  EXPECT_EQ(service_.Cli({"jobs", "delete", "run"}).code, 0);
  ASSERT_EQ(service_.AwaitEnd("clone"), "SUCCEEDED")
      << Slurp(service_.job_dir("clone") + "/worker.log");
  EXPECT_THAT(Slurp(service_.job_dir("clone") + "/worker.log"),
              HasSubstr("begins with the checkpoint "));
  const nlohmann::json job = service_.Job("clone");
  EXPECT_EQ(job["origin"]["job"], "projects/default/jobs/run");
  EXPECT_EQ(job["origin"]["step"], absl::StrCat(step));
  EXPECT_THAT(service_.Cli({"jobs", "get", "clone"}).out,
              HasSubstr(absl::StrCat("step ", step, " of projects/default/")));
  EXPECT_EQ(service_.Json({"models", "get", "clone"})["weights_sha256"],
            *undisturbed_);
}

TEST_F(CloneTest, AJobGoesBackToAnEarlierCheckpointAndComesToTheSame) {
  const std::vector<int64_t> steps = PausedRun();
  const int64_t step = steps.front();
  EXPECT_EQ(service_.Error(
                3, {"jobs", "resume", "run", "--from-step", "7"})["reason"],
            "RESOURCE_NOT_FOUND");
  const ProcessResult resumed = service_.Cli(
      {"jobs", "resume", "run", "--from-step", absl::StrCat(step)});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_THAT(resumed.out,
              HasSubstr(absl::StrCat("its checkpoint of step ", step)));
  ExpectSameResult(/*attempts=*/2);
  EXPECT_THAT(WorkerLog(),
              HasSubstr(absl::StrCat("resumed from the checkpoint of step ",
                                     step, "\n")));
}

}  // namespace
}  // namespace retort::testing
