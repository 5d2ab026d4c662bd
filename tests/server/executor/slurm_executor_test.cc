#include "server/executor/slurm_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/sha256.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::executor {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::IsOkAndHolds;
using ::retort::testing::StatusIs;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kSubject[] = "projects/p/jobs/j";
constexpr char kName[] = "retort-1f:projects/p/jobs/j@3";

// A Slurm of one job at most, which says what the test wants.
class FakeSlurm {
 public:
  // The job as squeue and scontrol show it; an empty state: none.
  std::string state, reason, nodes;
  int64_t id = 7;
  int restarts = 0;
  std::string exit_code = "0:0";
  std::string log_path = "/nowhere";
  std::string n2_state = "IDLE";
  // What sbatch, or every command, says instead of working.
  std::string sbatch_error, error;
  std::vector<std::string> commands;  // but for those that only ask

  absl::StatusOr<SubprocessResult> Run(const std::vector<std::string>& argv,
                                       const std::string& stdin_text) {
    const std::string line = absl::StrJoin(argv, " ");
    if (argv[0] == "sbatch" || argv[0] == "scancel") commands.push_back(line);
    if (!error.empty()) return Failed(error);
    if (argv[0] == "sbatch") return Submit(stdin_text);
    if (argv[0] == "squeue") return Printed(Queue());
    if (argv[0] == "sacct") return Failed("accounting storage is disabled");
    if (absl::StrContains(line, "show hostnames")) {
      return Printed("n1\nn2\n");
    }
    if (absl::StrContains(line, "show node")) {
      return Printed(absl::StrCat("NodeName=n1 CPUTot=4 State=IDLE\n",
                                  "NodeName=n2 CPUTot=4 State=", n2_state,
                                  "\n"));
    }
    if (absl::StrContains(line, "show job")) return Job();
    return Printed("");
  }

 private:
  static SubprocessResult Printed(const std::string& text) {
    SubprocessResult result;
    result.stdout_text = text;
    return result;
  }
  static SubprocessResult Failed(const std::string& text) {
    SubprocessResult result;
    result.exit.code = 1;
    result.stderr_text = text;
    return result;
  }
  SubprocessResult Submit(const std::string& script) {
    EXPECT_THAT(script, HasSubstr("RETORT_WORKER_TOKEN='secret'"));
    if (!sbatch_error.empty()) return Failed(sbatch_error);
    state = "PENDING";
    reason = "None";
    return Printed(absl::StrCat(id, "\n"));
  }
  std::string Queue() const {
    if (state.empty()) return "";
    return absl::StrCat(id, "|", state, "|", reason, "|", nodes, "|", kName,
                        "\n");
  }
  SubprocessResult Job() const {
    if (state.empty()) {
      return Failed("slurm_load_jobs error: Invalid job id specified");
    }
    return Printed(absl::StrCat(
        "JobId=", id, " JobState=", state, " Reason=", reason,
        " Restarts=", restarts, " ExitCode=", exit_code,
        " NodeList=", nodes.empty() ? "(null)" : nodes, " StdOut=", log_path));
  }
};

class News : public WorkerListener {
 public:
  void OnAttached(const std::string&, int64_t, const internal::v1::Hello&,
                  std::shared_ptr<WorkerSession>) override {}
  void OnMessage(const std::string&, int64_t, int,
                 const internal::v1::AttachRequest&) override {}
  void OnDetached(const std::string&, int64_t, int) override {}
  void OnPlacement(const std::string&, int64_t,
                   const GangPlacement& placement) override {
    placements.push_back(placement);
  }
  void OnExited(const std::string&, int64_t, const ExitStatus& exit) override {
    exits.push_back(exit);
  }
  std::vector<GangPlacement> placements;
  std::vector<ExitStatus> exits;
};

class SlurmExecutorTest : public ::testing::Test {
 protected:
  SlurmExecutorTest() {
    links_.SetListener("jobs", &news_);
    executor_ = std::make_unique<SlurmExecutor>(
        Options(),
        [this](const std::vector<std::string>& argv,
               const std::string& stdin_text) {
          return slurm_.Run(argv, stdin_text);
        },
        &links_);
  }
  SlurmExecutorOptions Options() {
    SlurmExecutorOptions options;
    options.script.instance = "1f";
    options.script.worker_binary = "/bin/retort-worker";
    options.script.server = "head:7435";
    options.poll_every = absl::InfiniteDuration();
    return options;
  }
  static GangSpec Gang(int64_t epoch = 3) {
    GangSpec spec;
    spec.subject = kSubject;
    spec.epoch = epoch;
    spec.ranks = 2;
    spec.token = "secret";
    spec.log_path = "/nowhere";
    return spec;
  }
  // Has the gang given to Slurm, in whose queue it waits.
  void StartGang() {
    ASSERT_THAT(executor_->Start(Gang()), IsOkAndHolds(""));
    executor_->Poll();
    ASSERT_EQ(news_.placements.size(), 1u);
    ASSERT_EQ(news_.placements[0].handle, "7");
    news_.placements.clear();
  }
  // The same, and lets Slurm run it.
  void RunGang() {
    StartGang();
    slurm_.state = "RUNNING";
    slurm_.nodes = "n[1-2]";
    executor_->Poll();
    ASSERT_EQ(news_.placements.size(), 1u);
  }
  // The gang that was started has ended without having begun.
  absl::Status NotStarted() {
    executor_->Poll();
    EXPECT_EQ(news_.exits.size(), 1u);
    return news_.exits.empty() ? absl::OkStatus()
                               : news_.exits.back().not_started;
  }
  internal::v1::Hello Hello() const {
    internal::v1::Hello hello;
    hello.set_subject(kSubject);
    hello.set_epoch(3);
    hello.set_token("secret");
    return hello;
  }

  FakeSlurm slurm_;
  News news_;
  WorkerLinks links_;
  std::unique_ptr<SlurmExecutor> executor_;
};

TEST_F(SlurmExecutorTest, TellsWhyAGangWaitsAndWhereItRuns) {
  StartGang();
  EXPECT_THAT(links_.Admit(Hello()), IsOk());
  EXPECT_EQ(executor_->DisplayId("7"), "slurm 7");
  slurm_.reason = "Resources";
  executor_->Poll();
  executor_->Poll();
  slurm_.state = "RUNNING";
  slurm_.reason = "None";
  slurm_.nodes = "n[1-2]";
  executor_->Poll();
  executor_->Poll();
  ASSERT_EQ(news_.placements.size(), 2u) << "each once";
  EXPECT_TRUE(news_.placements[0].waiting);
  EXPECT_EQ(news_.placements[0].reason, "Slurm: Resources");
  EXPECT_FALSE(news_.placements[1].waiting);
  EXPECT_THAT(news_.placements[1].nodes, ElementsAre("n1", "n2"));
}

TEST_F(SlurmExecutorTest, TellsTheEndOnceAndAdmitsNobodyAfterIt) {
  RunGang();
  slurm_.state = "COMPLETING";
  slurm_.nodes = "n1";
  executor_->Poll();
  EXPECT_THAT(news_.exits, IsEmpty()) << "something may still run";
  EXPECT_EQ(news_.placements.size(), 1u) << "it is where it was";
  slurm_.state = "COMPLETED";
  executor_->Poll();
  executor_->Poll();
  ASSERT_EQ(news_.exits.size(), 1u);
  EXPECT_EQ(news_.exits[0].ToString(), "exit code 0");
  EXPECT_THAT(links_.Admit(Hello()), Not(IsOk()));
}

TEST_F(SlurmExecutorTest, ReadsWhichRankFailedFromTheLog) {
  retort::testing::TempDir dir;
  slurm_.log_path = dir / "log";
  std::ofstream(slurm_.log_path)
      << "srun: error: n1: task 0: Killed\n"  // of an earlier incarnation
      << "retort: slurm job 7 (epoch 3) on n[1-2]\n"
      << "srun: error: n2: task 1: Exited with exit code 3\n"
      << "srun: error: n1: task 0: Terminated\n";
  RunGang();
  slurm_.state = "FAILED";
  slurm_.exit_code = "143:0";
  executor_->Poll();
  ASSERT_EQ(news_.exits.size(), 1u);
  EXPECT_EQ(news_.exits[0].ToString(), "rank 1 on n2: exit code 3");
}

TEST_F(SlurmExecutorTest, RequeuedGangHasEndedAndIsNotStartedAgainBySlurm) {
  RunGang();
  slurm_.state = "PENDING";
  slurm_.reason = "BeginTime";
  slurm_.restarts = 1;
  slurm_.n2_state = "DOWN+NOT_RESPONDING";
  executor_->Poll();
  ASSERT_EQ(news_.exits.size(), 1u);
  EXPECT_TRUE(news_.exits[0].lost_node);
  EXPECT_THAT(news_.exits[0].words,
              "Slurm: requeued the job (node n2: DOWN+NOT_RESPONDING)");
  EXPECT_THAT(slurm_.commands, Contains("scancel 7"));
  slurm_.state = "CANCELLED";
  executor_->Poll();
  const size_t commands = slurm_.commands.size();
  executor_->Poll();
  EXPECT_EQ(slurm_.commands.size(), commands) << "once is enough";
}

TEST_F(SlurmExecutorTest, CancelledBySomebodyElseIsTold) {
  RunGang();
  slurm_.state = "CANCELLED";
  executor_->Poll();
  ASSERT_EQ(news_.exits.size(), 1u);
  EXPECT_TRUE(news_.exits[0].cancelled);
  EXPECT_EQ(news_.exits[0].words, "Slurm: CANCELLED");
}

TEST_F(SlurmExecutorTest, GoesOnWhenSlurmDoesNotAnswer) {
  RunGang();
  slurm_.error = "slurm_load_jobs error: Unable to contact slurm controller";
  executor_->Poll();
  executor_->Poll();
  EXPECT_THAT(news_.exits, IsEmpty());
  slurm_.error.clear();
  slurm_.state = "COMPLETED";
  executor_->Poll();
  EXPECT_EQ(news_.exits.size(), 1u);
}

TEST_F(SlurmExecutorTest, GangsWaitForASlurmThatDoesNotAnswer) {
  slurm_.error = "Unable to contact slurm controller";
  executor_->Poll();
  EXPECT_THAT(executor_->Start(Gang()), IsOk());
  executor_->Poll();
  executor_->Poll();
  EXPECT_THAT(slurm_.commands, IsEmpty());
  ASSERT_EQ(news_.placements.size(), 1u) << "it is told once";
  EXPECT_TRUE(news_.placements[0].waiting);
  EXPECT_EQ(news_.placements[0].reason, "Slurm does not answer");
  slurm_.error.clear();
  executor_->Poll();
  EXPECT_THAT(slurm_.commands, ElementsAre(HasSubstr("sbatch")));
  ASSERT_EQ(news_.placements.size(), 2u);
  EXPECT_EQ(news_.placements[1].handle, "7");
}

TEST_F(SlurmExecutorTest, GangThatIsNotWantedAnyMoreIsNeverSlurms) {
  slurm_.error = "Unable to contact slurm controller";
  EXPECT_THAT(executor_->Start(Gang()), IsOk());
  executor_->Terminate(kSubject, 3);
  executor_->Poll();
  EXPECT_THAT(slurm_.commands, IsEmpty());
  ASSERT_EQ(news_.exits.size(), 1u);
  EXPECT_TRUE(news_.exits[0].lost_node) << "no failure of its own";
  slurm_.error.clear();
  executor_->Poll();
  EXPECT_THAT(slurm_.commands, IsEmpty());
  EXPECT_THAT(links_.Admit(Hello()), Not(IsOk()));
}

TEST_F(SlurmExecutorTest, AfterOneSubmitWithoutAnAnswerOthersWaitForAPoll) {
  slurm_.sbatch_error = "sbatch: error: Unable to contact slurm controller";
  for (int epoch = 3; epoch < 6; ++epoch) {
    EXPECT_THAT(executor_->Start(Gang(epoch)), IsOk());
  }
  EXPECT_THAT(NotStarted(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(slurm_.commands, ElementsAre(HasSubstr("sbatch")));
  slurm_.sbatch_error.clear();
  executor_->Poll();
  EXPECT_EQ(std::count_if(slurm_.commands.begin(), slurm_.commands.end(),
                          [](const std::string& command) {
                            return absl::StartsWith(command, "sbatch");
                          }),
            3);
  EXPECT_EQ(news_.exits.size(), 1u);
}

TEST_F(SlurmExecutorTest, WhatSlurmWillNeverTakeIsInvalid) {
  slurm_.sbatch_error =
      "sbatch: error: Batch job submission failed: Invalid partition name "
      "specified";
  EXPECT_THAT(executor_->Start(Gang()), IsOk());
  EXPECT_THAT(NotStarted(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "Slurm: Invalid partition name specified"));
  EXPECT_EQ(news_.exits.back().ToString(),
            "Slurm: Invalid partition name specified");
  EXPECT_THAT(links_.Admit(Hello()), Not(IsOk()));
}

TEST_F(SlurmExecutorTest, JobThatSlurmTookWithoutSayingSoIsCancelled) {
  slurm_.sbatch_error =
      "sbatch: error: Batch job submission failed: Socket "
      "timed out on send/recv operation";
  EXPECT_THAT(executor_->Start(Gang()), IsOk());
  EXPECT_THAT(NotStarted(), StatusIs(absl::StatusCode::kUnavailable));
  slurm_.state = "RUNNING";
  executor_->Poll();
  EXPECT_THAT(slurm_.commands, Contains("scancel 7"));
  EXPECT_EQ(news_.exits.size(), 1u);
}

TEST_F(SlurmExecutorTest, AskedToEndRanksGetTheirSignalOnce) {
  RunGang();
  executor_->Terminate(kSubject, 3);
  executor_->Poll();
  executor_->Poll();
  EXPECT_THAT(slurm_.commands,
              ElementsAre(HasSubstr("sbatch"), "scancel --signal=TERM 7"));
}

TEST_F(SlurmExecutorTest, GangThatWaitsIsTakenOutOfTheQueue) {
  StartGang();
  executor_->Terminate(kSubject, 3);
  executor_->Poll();
  EXPECT_THAT(slurm_.commands, Contains("scancel --state=PENDING 7"));
  slurm_.state = "CANCELLED";
  executor_->Poll();
  ASSERT_EQ(news_.exits.size(), 1u);
  EXPECT_FALSE(news_.exits[0].cancelled) << "it was us";
  EXPECT_EQ(news_.exits[0].ToString(),
            "Slurm: cancelled while it waited in the queue");
}

TEST_F(SlurmExecutorTest, GangThatStartsWhileItIsWithdrawnCanBeKilled) {
  StartGang();
  executor_->Terminate(kSubject, 3);
  executor_->Poll();
  ASSERT_THAT(slurm_.commands, Contains("scancel --state=PENDING 7"));
  slurm_.state = "RUNNING";
  slurm_.nodes = "n[1-2]";
  executor_->Poll();
  EXPECT_THAT(slurm_.commands, Contains("scancel --signal=TERM 7"));
  executor_->Kill(kSubject, 3);
  executor_->Poll();
  EXPECT_THAT(slurm_.commands, Contains("scancel --signal=KILL 7.0"));
}

TEST_F(SlurmExecutorTest, GangThatStartsWhileItIsWithdrawnFailsAsItFails) {
  StartGang();
  executor_->Terminate(kSubject, 3);
  executor_->Poll();
  slurm_.state = "FAILED";
  slurm_.nodes = "n[1-2]";
  slurm_.exit_code = "3:0";
  executor_->Poll();
  ASSERT_EQ(news_.exits.size(), 1u);
  EXPECT_EQ(news_.exits[0].ToString(), "exit code 3");
}

TEST_F(SlurmExecutorTest, KilledGangEndsAtOnce) {
  RunGang();
  executor_->Kill(kSubject, 3);
  executor_->Poll();
  EXPECT_THAT(slurm_.commands, Contains("scancel --signal=KILL 7.0"));
  EXPECT_THAT(slurm_.commands, Contains("scancel 7"));
  slurm_.state = "CANCELLED";
  executor_->Poll();
  ASSERT_EQ(news_.exits.size(), 1u);
  EXPECT_EQ(news_.exits[0].signal, 9);
  EXPECT_FALSE(news_.exits[0].cancelled);
}

TEST_F(SlurmExecutorTest, AdoptsByNumberAndByName) {
  slurm_.state = "RUNNING";
  slurm_.nodes = "n[1-2]";
  EXPECT_THAT(executor_->Adopt(kSubject, 3, "7", base::Sha256Hex("secret")),
              IsOkAndHolds("7"));
  EXPECT_THAT(links_.Admit(Hello()), IsOk());
  EXPECT_THAT(executor_->Adopt(kSubject, 3, "", base::Sha256Hex("secret")),
              IsOkAndHolds("7"));
  executor_->Poll();
  EXPECT_EQ(news_.placements.size(), 1u);
  EXPECT_THAT(executor_->Adopt(kSubject, 4, "", "hash"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SlurmExecutorTest, AdoptedGangThatHasEndedMeanwhileIsTold) {
  slurm_.state = "TIMEOUT";
  EXPECT_THAT(executor_->Adopt(kSubject, 3, "7", "hash"), IsOk());
  executor_->Poll();
  ASSERT_EQ(news_.exits.size(), 1u);
  EXPECT_TRUE(news_.exits[0].time_limit);
}

TEST_F(SlurmExecutorTest, AdoptsWhenSlurmIsAwayAndLooksLater) {
  slurm_.error = "Unable to contact slurm controller";
  EXPECT_THAT(executor_->Adopt(kSubject, 3, "", "hash"), IsOkAndHolds(""));
  executor_->Poll();
  EXPECT_THAT(news_.exits, IsEmpty());
  slurm_.error.clear();
  executor_->Poll();
  ASSERT_EQ(news_.exits.size(), 1u);
  EXPECT_EQ(news_.exits[0].ToString(), "Slurm: never had the job");
}

TEST_F(SlurmExecutorTest, GangThatSlurmForgotIsGone) {
  RunGang();
  slurm_.state.clear();
  executor_->Poll();
  ASSERT_EQ(news_.exits.size(), 1u);
  EXPECT_EQ(news_.exits[0].ToString(), "Slurm: knows job 7 no more");
}

TEST_F(SlurmExecutorTest, ShowsTheClustersNodes) {
  slurm_.n2_state = "IDLE+DRAIN";
  executor_->Poll();
  const std::vector<NodeInfo> nodes = executor_->Nodes();
  ASSERT_EQ(nodes.size(), 2u);
  EXPECT_TRUE(nodes[0].usable);
  EXPECT_FALSE(nodes[1].usable);
}

}  // namespace
}  // namespace retort::executor
