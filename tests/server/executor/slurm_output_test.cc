// The texts are what Slurm 22.05 printed, shortened by fields nobody reads.
#include "server/executor/slurm_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"

namespace retort::executor::slurm {
namespace {

using ::retort::testing::IsOkAndHolds;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Asked kNothing;
constexpr Asked kWithdraw = {.withdraw = true};
constexpr Asked kKill = {.kill = true};

JobInfo Info(const std::string& state, int restarts = 0) {
  JobInfo job;
  job.state = state;
  job.restarts = restarts;
  return job;
}

NodeInfo DownNode() {
  NodeInfo node;
  node.name = "n2";
  node.usable = false;
  node.reason = "Slurm: DOWN+NOT_RESPONDING, Not responding";
  return node;
}

TEST(SlurmQueueTest, ReadsJobsThatWaitRunAndHaveEnded) {
  const std::vector<QueueRow> rows = ParseQueue(
      "3|CANCELLED|None|n[1-2]|c\n"
      "15|PENDING|PartitionNodeLimit||retort-1f:projects/p/jobs/j@3\n"
      "2|RUNNING|None|n[1-2]|a|b\n");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].id, 3);
  EXPECT_EQ(rows[0].state, "CANCELLED");
  EXPECT_EQ(rows[0].reason, "");
  EXPECT_EQ(rows[0].nodes, "n[1-2]");
  EXPECT_EQ(rows[1].reason, "PartitionNodeLimit");
  EXPECT_EQ(rows[1].nodes, "");
  EXPECT_EQ(rows[1].name, "retort-1f:projects/p/jobs/j@3");
  EXPECT_EQ(rows[2].name, "a|b") << "a name may hold anything";
}

TEST(SlurmQueueTest, LeavesOutPartsOfArraysAndNoise) {
  EXPECT_THAT(ParseQueue("7_3|RUNNING|None|n1|x\n\nslurm_load: hm\n"),
              IsEmpty());
}

TEST(SlurmJobTest, ReadsWhatScontrolShows) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const JobInfo job,
      ParseJob("JobId=2 JobName=retort:x:projects/default/jobs/a@3 "
               "UserId=root(0) GroupId=root(0) MCS_label=N/A Account=(null) "
               "JobState=FAILED Reason=NonZeroExitCode Dependency=(null) "
               "Requeue=1 Restarts=0 BatchFlag=1 ExitCode=143:0 "
               "RunTime=00:00:02 NodeList=n[1-2] BatchHost=n1 Command=(null) "
               "WorkDir=/tmp/st StdErr=/tmp/st/out.log StdIn=/dev/null "
               "StdOut=/tmp/st/out.log Power= \n"));
  EXPECT_EQ(job.state, "FAILED");
  EXPECT_EQ(job.reason, "NonZeroExitCode");
  EXPECT_EQ(job.code, 143);
  EXPECT_EQ(job.signal, 0);
  EXPECT_EQ(job.restarts, 0);
  EXPECT_EQ(job.log_path, "/tmp/st/out.log");
  EXPECT_TRUE(job.placed);
}

TEST(SlurmJobTest, KeepsSpacesOfAValueAndTheFirstOfEachName) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const JobInfo job,
      ParseJob("JobId=9 JobState=PENDING Reason=launch failed requeued held "
               "Restarts=1 ExitCode=0:15 StdOut=/a b/log "
               "Comment=JobState=RUNNING"));
  EXPECT_EQ(job.state, "PENDING");
  EXPECT_EQ(job.reason, "launch failed requeued held");
  EXPECT_EQ(job.signal, 15);
  EXPECT_EQ(job.log_path, "/a b/log");
  EXPECT_EQ(PhaseOf(job), Phase::kRequeued);
}

TEST(SlurmJobTest, SaysWhetherTheJobEverHadNodes) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const JobInfo job,
      ParseJob("JobId=3 JobState=CANCELLED Reason=Resources Restarts=0 "
               "ExitCode=0:0 RunTime=00:00:00 NodeList= NumNodes=2-2"));
  EXPECT_FALSE(job.placed);
}

TEST(SlurmJobTest, RefusesWhatIsNoJob) {
  EXPECT_THAT(ParseJob("No jobs in the system\n"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SlurmAccountTest, ReadsTheLastRunAndWhoCancelledIt) {
  const auto job =
      ParseAccount("NODE_FAIL|0:0|n2\nCANCELLED by 1001|0:15|n1\n");
  ASSERT_TRUE(job.has_value());
  EXPECT_EQ(job->state, "CANCELLED");
  EXPECT_EQ(job->by, "uid 1001");
  EXPECT_EQ(job->signal, 15);
  EXPECT_TRUE(job->placed);
  EXPECT_FALSE(ParseAccount("CANCELLED by 0|0:0|None assigned\n")->placed);
  EXPECT_FALSE(ParseAccount("Slurm accounting storage is disabled\n"));
}

TEST(SlurmNodesTest, ReadsSizesAndWhyANodeIsNotUsable) {
  const std::vector<NodeInfo> nodes = ParseNodes(
      "NodeName=gpu01 Arch=x86_64 CPUAlloc=8 CPUEfctv=128 CPUTot=128 "
      "Gres=gpu:a800:8(S:0-1),nic:2 NodeAddr=10.0.0.1 "
      "OS=Linux 6.1.0 #1 SMP @0  State=MIXED+PLANNED\n"
      "NodeName=n2 CPUTot=4 Gres=(null) NodeAddr=127.0.0.1 "
      "State=DOWN+NOT_RESPONDING "
      "Reason=Not responding [root@2026-11-29T16:16:25]\n"
      "NodeName=n3 CPUTot=4 Gres=gpu:1 State=IDLE+DRAIN\n"
      "NodeName=n4 CPUTot=4 State=IDLE+CLOUD+POWERED_DOWN\n");
  ASSERT_EQ(nodes.size(), 4u);
  EXPECT_EQ(nodes[0].name, "gpu01");
  EXPECT_EQ(nodes[0].cpus, 128);
  EXPECT_EQ(nodes[0].gpus, 8);
  EXPECT_TRUE(nodes[0].usable);
  EXPECT_EQ(nodes[0].reason, "");
  EXPECT_FALSE(nodes[1].usable);
  EXPECT_EQ(nodes[1].reason, "Slurm: DOWN+NOT_RESPONDING, Not responding");
  EXPECT_EQ(nodes[1].gpus, 0);
  EXPECT_TRUE(nodes[1].lost);
  EXPECT_FALSE(nodes[2].usable);
  EXPECT_FALSE(nodes[2].lost) << "what runs there runs on";
  EXPECT_EQ(nodes[2].reason, "Slurm: IDLE+DRAIN");
  EXPECT_EQ(nodes[2].gpus, 1);
  EXPECT_TRUE(nodes[3].usable) << "Slurm wakes it for a job";
}

TEST(SlurmSubmitTest, ReadsTheNumberWithAndWithoutACluster) {
  EXPECT_THAT(ParseSubmitted("1234\n"), IsOkAndHolds(1234));
  EXPECT_THAT(ParseSubmitted("1234;big\n"), IsOkAndHolds(1234));
  EXPECT_THAT(ParseSubmitted("Submitted?\n"),
              StatusIs(absl::StatusCode::kInternal));
}

TEST(SlurmSubmitTest, TellsAWrongRequestFromSlurmBeingAwayOrFull) {
  EXPECT_THAT(
      SubmitError("sbatch: error: invalid partition specified: nope\n"
                  "sbatch: error: Batch job submission failed: Invalid "
                  "partition name specified\n"),
      StatusIs(absl::StatusCode::kInvalidArgument,
               "Slurm: invalid partition specified: nope; Invalid partition "
               "name specified"));
  EXPECT_THAT(
      SubmitError("sbatch: error: Batch job submission failed: Unable to "
                  "contact slurm controller (connect failure)\n"),
      StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(SubmitError("sbatch: error: Batch job submission failed: Socket "
                          "timed out on send/recv operation\n"),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(
      SubmitError("sbatch: error: Batch job submission failed: Job violates "
                  "accounting/QOS policy (job submit limit, user's size "
                  "and/or time limits)\n"),
      StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(SlurmPhaseTest, FollowsAJobThroughItsStates) {
  EXPECT_EQ(PhaseOf(Info("PENDING")), Phase::kWaiting);
  EXPECT_EQ(PhaseOf(Info("CONFIGURING")), Phase::kWaiting);
  EXPECT_EQ(PhaseOf(Info("RUNNING")), Phase::kRunning);
  EXPECT_EQ(PhaseOf(Info("COMPLETING", 1)), Phase::kRunning)
      << "something may still run";
  EXPECT_EQ(PhaseOf(Info("PENDING", 1)), Phase::kRequeued);
  EXPECT_EQ(PhaseOf(Info("RUNNING", 1)), Phase::kRequeued);
  EXPECT_EQ(PhaseOf(Info("REQUEUE_HOLD")), Phase::kRequeued);
  for (const char* end : {"COMPLETED", "FAILED", "NODE_FAIL", "TIMEOUT",
                          "CANCELLED", "PREEMPTED", "OUT_OF_MEMORY"}) {
    EXPECT_EQ(PhaseOf(Info(end)), Phase::kEnded) << end;
  }
}

TEST(SlurmLogTest, NamesTheRankThatWentFirst) {
  const auto failure = FirstFailure(
      "retort: slurm job 2 (epoch 1) on n[1-2]\n"
      "srun: error: n2: task 1: Exited with exit code 3\n"
      "srun: launch/slurm: _step_signal: Terminating StepId=2.0\n"
      "srun: error: n1: task 0: Terminated\n",
      2);
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->rank, 1);
  EXPECT_EQ(failure->node, "n2");
  EXPECT_EQ(failure->code, 3);
  EXPECT_EQ(failure->signal, 0);
}

TEST(SlurmLogTest, RankThatFoundOthersGoneIsNotToBlame) {
  const auto failure = FirstFailure(
      "retort: slurm job 2 (epoch 1) on n[1-3]\n"
      "srun: error: n1: task 0: Exited with exit code 14\n"
      "srun: launch/slurm: _step_signal: Terminating StepId=2.0\n"
      "srun: error: n3: task 2: Exited with exit code 14\n"
      "srun: error: n2: task 1: Killed\n",
      2);
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->rank, 1);
  EXPECT_EQ(failure->node, "n2");
  EXPECT_EQ(failure->signal, 9);
}

TEST(SlurmLogTest, RankThatFoundOthersGoneIsNamedIfThereIsNoOther) {
  const auto failure = FirstFailure(
      "srun: error: n2: tasks 1-2: Exited with exit code 14\n"
      "srun: error: n1: task 0: Exited with exit code 14\n"
      "srun: error: Node failure on n3\n",
      2);
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->rank, 1);
  EXPECT_EQ(failure->code, 14);
}

TEST(SlurmLogTest, KnowsSignalsByTheirNames) {
  const auto killed = FirstFailure("srun: error: n2: tasks 4-7: Killed\n", 2);
  ASSERT_TRUE(killed.has_value());
  EXPECT_EQ(killed->rank, 4);
  EXPECT_EQ(killed->signal, 9);
  EXPECT_EQ(FirstFailure("srun: error: n1: task 0: Segmentation fault (core "
                         "dumped)\n",
                         2)
                ->signal,
            11);
}

TEST(SlurmLogTest, LooksOnlyAtThisJobsPart) {
  EXPECT_FALSE(FirstFailure("srun: error: n2: task 1: Killed\n"
                            "retort: slurm job 3 (epoch 2) on n1\n"
                            "srun: error: Node failure on n2\n",
                            3)
                   .has_value());
}

TEST(SlurmExitTest, FailureIsTheRanks) {
  JobInfo job = Info("FAILED");
  job.code = 143;
  RankFailure failure;
  failure.rank = 1;
  failure.node = "n2";
  failure.code = 3;
  const ExitStatus exit = ExitOf(job, failure, {}, kNothing);
  EXPECT_EQ(exit.ToString(), "rank 1 on n2: exit code 3");
  EXPECT_FALSE(exit.lost_node || exit.time_limit || exit.cancelled);
}

TEST(SlurmExitTest, WithoutALogTheScriptsCodeSaysTheSignal) {
  JobInfo job = Info("FAILED");
  job.code = 137;
  const ExitStatus exit = ExitOf(job, std::nullopt, {}, kNothing);
  EXPECT_EQ(exit.signal, 9);
  EXPECT_EQ(exit.rank, -1);
}

TEST(SlurmExitTest, SaysThatTheDataFolderIsNotShared) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const JobInfo job,
      ParseJob("JobId=1 JobState=FAILED Reason=JobLaunchFailure Restarts=0 "
               "ExitCode=0:53 StdOut=/data/jobs/j/worker.log"));
  EXPECT_EQ(ExitOf(job, std::nullopt, {}, kNothing).ToString(),
            "Slurm: the node could not open /data/jobs/j/worker.log; is "
            "data_dir on a file system that all nodes have at this path?");
}

TEST(SlurmExitTest, NodeFailureIsNobodysFault) {
  JobInfo job = Info("NODE_FAIL");
  job.reason = "NodeDown";
  const ExitStatus exit = ExitOf(job, std::nullopt, {DownNode()}, kNothing);
  EXPECT_TRUE(exit.lost_node);
  EXPECT_EQ(exit.words,
            "Slurm: NODE_FAIL (node n2: DOWN+NOT_RESPONDING, Not responding)");
}

TEST(SlurmExitTest, RankThatFailedBecauseItsNodeWentIsNobodysFault) {
  RankFailure failure;
  failure.code = 1;
  const ExitStatus exit =
      ExitOf(Info("FAILED"), failure, {DownNode()}, kNothing);
  EXPECT_TRUE(exit.lost_node);
  EXPECT_THAT(exit.words, HasSubstr("node n2"));
}

TEST(SlurmExitTest, RequeuedJobHasEnded) {
  const ExitStatus exit =
      ExitOf(Info("PENDING", 1), std::nullopt, {}, kNothing);
  EXPECT_TRUE(exit.lost_node);
  EXPECT_EQ(exit.words, "Slurm: requeued the job");
  EXPECT_TRUE(
      ExitOf(Info("COMPLETED", 1), std::nullopt, {}, kNothing).lost_node)
      << "its second run did nothing";
}

TEST(SlurmExitTest, TellsTimeLimitCancelAndOurOwnKill) {
  EXPECT_TRUE(ExitOf(Info("TIMEOUT"), std::nullopt, {}, kNothing).time_limit);
  EXPECT_TRUE(ExitOf(Info("DEADLINE"), std::nullopt, {}, kNothing).time_limit);
  JobInfo cancelled = Info("CANCELLED");
  cancelled.by = "uid 1001";
  const ExitStatus theirs = ExitOf(cancelled, std::nullopt, {}, kNothing);
  EXPECT_TRUE(theirs.cancelled);
  EXPECT_EQ(theirs.words, "Slurm: CANCELLED (by uid 1001)");
  const ExitStatus ours = ExitOf(cancelled, std::nullopt, {}, kKill);
  EXPECT_FALSE(ours.cancelled);
  EXPECT_EQ(ours.signal, 9);
  EXPECT_FALSE(ours.lost_node);
  const ExitStatus silent =
      ExitOf(cancelled, std::nullopt, {DownNode()}, kKill);
  EXPECT_TRUE(silent.lost_node);
  EXPECT_THAT(silent.words, HasSubstr("node n2"));
  EXPECT_TRUE(ExitOf(Info("PREEMPTED"), std::nullopt, {}, kNothing).lost_node);
  const ExitStatus memory =
      ExitOf(Info("OUT_OF_MEMORY"), std::nullopt, {}, kNothing);
  EXPECT_EQ(memory.signal, 9);
  EXPECT_THAT(memory.words, HasSubstr("OUT_OF_MEMORY"));
}

TEST(SlurmExitTest, WithdrawnJobThatNeverRanIsNoCrash) {
  JobInfo job = Info("CANCELLED");
  job.placed = false;
  for (const Asked& asked : {kWithdraw, kKill}) {
    const ExitStatus exit = ExitOf(job, std::nullopt, {}, asked);
    EXPECT_EQ(exit.ToString(), "Slurm: cancelled while it waited in the queue");
    EXPECT_TRUE(exit.lost_node);
    EXPECT_FALSE(exit.cancelled);
  }
  EXPECT_TRUE(ExitOf(job, std::nullopt, {}, kNothing).cancelled);
}

TEST(SlurmExitTest, JobThatStartedBeforeItCouldBeWithdrawnEndsByItself) {
  JobInfo job = Info("FAILED");
  job.code = 3;
  EXPECT_EQ(ExitOf(job, std::nullopt, {}, kWithdraw).ToString(), "exit code 3");
  EXPECT_TRUE(ExitOf(Info("CANCELLED"), std::nullopt, {}, kWithdraw).cancelled);
}

TEST(SlurmExitTest, SuccessIsExitCodeZero) {
  const ExitStatus exit = ExitOf(Info("COMPLETED"), std::nullopt, {}, kKill);
  EXPECT_EQ(exit.ToString(), "exit code 0");
}

}  // namespace
}  // namespace retort::executor::slurm
