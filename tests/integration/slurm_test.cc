// Jobs on a real Slurm cluster of three nodes, which this machine pretends to
// be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/integration/training_run.h"
#include "tests/support/slurm_cluster.h"
#include "tests/support/test_ca.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class SlurmTest : public TrainingRunTest {
 protected:
  static void SetUpTestSuite() {
    if (!SlurmCluster::WhyNot().empty()) return;
    TrainingRunTest::SetUpTestSuite();
    cluster_ = std::make_unique<SlurmCluster>(3);
    started_ = cluster_->Start();
  }
  static void TearDownTestSuite() { cluster_.reset(); }

  void SetUp() override {
    const std::string why = SlurmCluster::WhyNot();
    if (!why.empty()) GTEST_SKIP() << "NOT TESTED on Slurm: " << why;
    ASSERT_TRUE(started_);
    // Of this test alone: workers of the one before may still look for it.
    service_.SetOptions(
        {"--executor=slurm", "--cpu_slots=4",
         absl::StrCat("--worker_listen=127.0.0.1:", FreePort())});
  }
  void TearDown() override {
    if (cluster_ != nullptr) cluster_->Run({"scancel", "--me"});
  }

  // The newest of Slurm's jobs for a job of the service; 0 if there is none.
  static int64_t SlurmId(const std::string& job) {
    const ProcessResult queue = cluster_->Run(
        {"squeue", "--noheader", "--states=all", "--format=%i %j"});
    int64_t newest = 0;
    for (const auto& line : absl::StrSplit(queue.out, '\n')) {
      const std::pair<std::string, std::string> row =
          absl::StrSplit(line, absl::MaxSplits(' ', 1));
      int64_t id = 0;
      if (absl::StrContains(row.second, absl::StrCat("/jobs/", job, "@")) &&
          absl::SimpleAtoi(row.first, &id)) {
        newest = std::max(newest, id);
      }
    }
    return newest;
  }
  // Waits until Slurm has no process for it any more.
  static bool AwaitSlurmEnd(int64_t id) {
    return PollUntil(ServiceProcess::kPatience, [id] {
      const std::string state = cluster_->JobState(id);
      return state != "RUNNING" && state != "COMPLETING" && state != "PENDING";
    });
  }
  // Holds the job where it is, so that what is done to it meets it there.
  static void Freeze(const std::string& job) {
    for (const pid_t pid : cluster_->Workers("projects/default/jobs/" + job)) {
      kill(pid, SIGSTOP);
    }
  }
  // Submits a job of two ranks, each on a node, and waits for a checkpoint.
  void StartGangOfTwo() {
    service_.Start();
    json spec = Spec();
    spec["resources"] = {
        {"world_size", 2}, {"cpu_threads", 1}, {"max_ranks_per_node", 1}};
    service_.Submit("run", spec);
    ASSERT_GT(service_.AwaitCheckpoint("run"), 0)
        << service_.log() << WorkerLog();
  }
  // The job has come to its end with the weights of an undisturbed run.
  void ExpectSameWeights() {
    ASSERT_EQ(service_.AwaitEnd("run"), "SUCCEEDED")
        << service_.Events("run") << WorkerLog();
    EXPECT_EQ(Weights(service_), *undisturbed_) << WorkerLog();
  }

  inline static std::unique_ptr<SlurmCluster> cluster_;
  inline static bool started_ = false;
};

TEST_F(SlurmTest, JobOnANodeIsTheSameAsOnThisMachine) {
  StartRun();
  const int64_t id = SlurmId("run");
  EXPECT_EQ(service_.Job("run")["executor_id"], absl::StrCat("slurm ", id));
  ExpectSameWeights();
  EXPECT_TRUE(AwaitSlurmEnd(id));
  EXPECT_EQ(cluster_->JobState(id), "COMPLETED");
}

TEST_F(SlurmTest, GangOfTwoTrainsOnTwoNodes) {
  StartGangOfTwo();
  EXPECT_EQ(cluster_->NodesOf(SlurmId("run")).size(), 2u);
  ASSERT_EQ(service_.AwaitEnd("run"), "SUCCEEDED") << WorkerLog();
}

TEST_F(SlurmTest, KilledRankIsNamedAndTheGangGoesOnFromItsCheckpoint) {
  StartGangOfTwo();
  Freeze("run");
  // Which two nodes it has depends on which the job before has left by now.
  const std::vector<std::string> nodes = cluster_->NodesOf(SlurmId("run"));
  ASSERT_EQ(nodes.size(), 2u);
  const std::vector<pid_t> on_second = cluster_->ProcessesOn(nodes[1]);
  for (const pid_t pid : cluster_->Workers("projects/default/jobs/run")) {
    const bool there =
        std::find(on_second.begin(), on_second.end(), pid) != on_second.end();
    kill(pid, there ? SIGKILL : SIGCONT);
  }
  ASSERT_EQ(service_.AwaitEnd("run"), "SUCCEEDED") << WorkerLog();
  EXPECT_THAT(
      service_.Events("run"),
      HasSubstr(absl::StrCat("rank 1 on ", nodes[1], ": killed by signal 9")));
}

TEST_F(SlurmTest, CancelledJobLeavesSlurm) {
  StartRun();
  const int64_t id = SlurmId("run");
  EXPECT_EQ(service_.Cli({"jobs", "cancel", "run"}).code, 0);
  EXPECT_EQ(service_.AwaitEnd("run"), "CANCELLED");
  EXPECT_TRUE(AwaitSlurmEnd(id));
  EXPECT_TRUE(cluster_->Workers("projects/default/jobs/run").empty());
}

TEST_F(SlurmTest, JobThatAnOperatorCancelsInSlurmIsCancelled) {
  StartRun();
  Freeze("run");
  cluster_->Run({"scancel", absl::StrCat(SlurmId("run"))});
  EXPECT_EQ(service_.AwaitEnd("run"), "CANCELLED") << service_.Events("run");
  EXPECT_THAT(service_.Job("run")["state_reason"].get<std::string>(),
              HasSubstr("Slurm: CANCELLED"));
}

TEST_F(SlurmTest, GangOfAKilledNodeGoesOnOnOthersFromItsCheckpoint) {
  StartGangOfTwo();
  Freeze("run");
  const int64_t id = SlurmId("run");
  const std::vector<std::string> nodes = cluster_->NodesOf(id);
  ASSERT_EQ(nodes.size(), 2u);
  cluster_->KillNode(nodes[1]);
  // The rank of the other node finds it gone, before Slurm does.
  for (const pid_t pid : cluster_->Workers("projects/default/jobs/run")) {
    kill(pid, SIGCONT);
  }
  ASSERT_EQ(service_.AwaitEnd("run"), "SUCCEEDED")
      << service_.Events("run") << WorkerLog();
  EXPECT_NE(SlurmId("run"), id);
  EXPECT_THAT(WorkerLog(), HasSubstr("resumed from the checkpoint"));
  EXPECT_THAT(service_.Events("run"),
              AllOf(HasSubstr("Slurm: "), HasSubstr(nodes[1]),
                    HasSubstr("DOWN"), HasSubstr("not counted as a failure")));
  cluster_->StartNode(nodes[1]);
  EXPECT_TRUE(cluster_->AwaitNode(nodes[1], "idle"));
}

TEST_F(SlurmTest, GangOfANodeThatFallsSilentGoesOnAndIsNotToBlame) {
  // A node without power closes no connection: it is only not heard of.
  service_.AddServerOptions({"--hang_timeout=6"});
  StartGangOfTwo();
  Freeze("run");
  const std::vector<std::string> nodes = cluster_->NodesOf(SlurmId("run"));
  ASSERT_EQ(nodes.size(), 2u);
  for (const pid_t pid : cluster_->ProcessesOn(nodes[1])) kill(pid, SIGSTOP);
  for (const pid_t pid : cluster_->ProcessesOn(nodes[0])) kill(pid, SIGCONT);
  ASSERT_EQ(service_.AwaitEnd("run"), "SUCCEEDED")
      << service_.Events("run") << WorkerLog();
  EXPECT_THAT(service_.Events("run"),
              AllOf(HasSubstr("has not been heard of"), HasSubstr(nodes[1]),
                    HasSubstr("DOWN"), HasSubstr("not counted as a failure")));
  EXPECT_THAT(WorkerLog(), HasSubstr("resumed from the checkpoint"));
  cluster_->KillNode(nodes[1]);
  cluster_->StartNode(nodes[1]);
  EXPECT_TRUE(cluster_->AwaitNode(nodes[1], "idle"));
}

TEST_F(SlurmTest, WorkerThatSlurmHasLostSightOfEndsWhenAnotherTakesItsPlace) {
  const std::string subject = "projects/default/jobs/run";
  service_.Start();
  service_.Submit("run", TinyTeacher(data_->path(), 1000000, 100));
  ASSERT_GT(service_.AwaitCheckpoint("run"), 0) << service_.log();
  const std::vector<std::string> nodes = cluster_->NodesOf(SlurmId("run"));
  const std::vector<pid_t> lost = cluster_->Workers(subject);
  ASSERT_EQ(nodes.size(), 1u);
  ASSERT_EQ(lost.size(), 1u);
  cluster_->KillSlurmd(nodes[0]);
  // Nobody can kill it any more: it finds out by itself.
  EXPECT_TRUE(AwaitGone(lost[0])) << service_.log() << WorkerLog();
  EXPECT_TRUE(cluster_->AwaitNode(nodes[0], "down"));
  ASSERT_TRUE(PollUntil(ServiceProcess::kPatience, [this] {
    return absl::StrContains(WorkerLog(), "resumed from the checkpoint");
  })) << WorkerLog();
  EXPECT_THAT(service_.log(), HasSubstr("(epoch 2, 1 ranks) to Slurm"));
  const std::vector<int64_t> so_far = service_.CheckpointsOnDisk("run");
  ASSERT_FALSE(so_far.empty());
  EXPECT_GT(service_.AwaitCheckpoint("run", so_far.back()), 0) << WorkerLog();
  EXPECT_EQ(service_.Cli({"jobs", "cancel", "run"}).code, 0);
  EXPECT_EQ(service_.AwaitEnd("run"), "CANCELLED");
  cluster_->StartNode(nodes[0]);
  EXPECT_TRUE(cluster_->AwaitNode(nodes[0], "idle"));
}

TEST_F(SlurmTest, WorkersDialWithTlsWhereTheyAreToldTheCa) {
  const TempDir dir;
  TestCa ca(dir.path(), "ca");
  const TestCertificate server = ca.Issue("server");
  const TestCertificate worker = ca.Issue("worker");
  service_.AddServerOptions(
      {"--tls_cert", server.cert, "--tls_key", server.key});
  service_.AddServerOptions({"--tls_client_ca", ca.path()});
  service_.AddCliOptions(
      {"--ca", ca.path(), "--cert", worker.cert, "--key", worker.key});
  // One in the clear does not get in.
  service_.Start();
  service_.Submit("run", Spec());
  EXPECT_TRUE(PollUntil(ServiceProcess::kPatience, [this] {
    return absl::StrContains(WorkerLog(), "dialling again");
  })) << WorkerLog();
  EXPECT_THAT(service_.log(), HasSubstr("set RETORT_WORKER_CA"));
  EXPECT_TRUE(service_.CheckpointsOnDisk("run").empty());
  EXPECT_EQ(service_.Cli({"jobs", "cancel", "run"}).code, 0);
  EXPECT_EQ(service_.AwaitEnd("run"), "CANCELLED");
  EXPECT_EQ(service_.Stop(), 0);
  setenv("RETORT_WORKER_CA", ca.path().c_str(), 1);
  setenv("RETORT_WORKER_CERT", worker.cert.c_str(), 1);
  setenv("RETORT_WORKER_KEY", worker.key.c_str(), 1);
  service_.Start();
  for (const char* name :
       {"RETORT_WORKER_CA", "RETORT_WORKER_CERT", "RETORT_WORKER_KEY"}) {
    unsetenv(name);
  }
  service_.Submit("with-tls", Spec());
  EXPECT_EQ(service_.AwaitEnd("with-tls"), "SUCCEEDED")
      << service_.Events("with-tls") << service_.log();
}

TEST_F(SlurmTest, ExampleOfDeployIsUnderstood) {
  service_.Start();
  const json error = service_.Error(
      3, {"jobs", "submit", "--validate-only", "-f",
          absl::StrCat(RETORT_SOURCE_DIR, "/deploy/slurm/job.yaml"),
          // These nodes are smaller.
          "--set", "spec.resources.cpu_threads=1", "--set",
          "spec.resources.gpus=0", "--set", "spec.resources.world_size=2"});
  EXPECT_THAT(error["message"].get<std::string>(),
              HasSubstr("projects/default/models/my-teacher"));
}

TEST_F(SlurmTest, RequeuedJobIsStartedAnewByTheServiceAlone) {
  StartRun();
  Freeze("run");
  const int64_t id = SlurmId("run");
  EXPECT_EQ(cluster_->Run({"scontrol", "requeue", absl::StrCat(id)}).code, 0);
  ExpectSameWeights();
  EXPECT_NE(SlurmId("run"), id);
  EXPECT_TRUE(AwaitSlurmEnd(id));
  EXPECT_EQ(cluster_->JobState(id), "CANCELLED") << "not run twice";
  EXPECT_THAT(service_.Events("run"), HasSubstr("Slurm: requeued the job"));
}

TEST_F(SlurmTest, JobAtItsPartitionsTimeLimitGoesOnFromACheckpoint) {
  service_.Start();
  json spec = TinyTeacher(data_->path(), 1000000, 1000000);
  spec["resources"]["slurm"] = {{"partition", "short"}};
  service_.Submit("run", spec);
  ASSERT_TRUE(service_.AwaitStep("run", 1)) << service_.log();
  const int64_t first = SlurmId("run");
  ASSERT_TRUE(PollUntil(ServiceProcess::kPatience,
                        [this] {
                          return absl::StrContains(
                              WorkerLog(), "resumed from the checkpoint");
                        }))
      << service_.Events("run") << WorkerLog();
  EXPECT_NE(SlurmId("run"), first);
  EXPECT_EQ(service_.Cli({"jobs", "cancel", "run"}).code, 0);
  EXPECT_EQ(service_.AwaitEnd("run"), "CANCELLED");
}

TEST_F(SlurmTest, JobAtItsOwnTimeLimitEndsWithACheckpointToCloneFrom) {
  service_.Start();
  json spec = TinyTeacher(data_->path(), 1000000, 1000000);
  spec["resources"]["time_limit"] = "3s";
  service_.Submit("run", spec);
  EXPECT_EQ(service_.AwaitEnd("run"), "FAILED") << service_.Events("run");
  EXPECT_THAT(service_.Job("run")["state_reason"].get<std::string>(),
              HasSubstr("has run for its time_limit of 3s"));
  EXPECT_FALSE(service_.CheckpointsOnDisk("run").empty());
  EXPECT_TRUE(AwaitSlurmEnd(SlurmId("run")));
}

TEST_F(SlurmTest, GangTrainsOnWhileTheServiceIsKilled) {
  StartRun();
  const int64_t id = SlurmId("run");
  service_.Kill();
  service_.Start();
  ExpectSameWeights();
  EXPECT_EQ(service_.Job("run")["attempts"], 1);
  EXPECT_EQ(SlurmId("run"), id);
}

TEST_F(SlurmTest, GangTrainsOnWhileSlurmsControllerIsAway) {
  StartRun();
  cluster_->StopController();
  EXPECT_TRUE(PollUntil(ServiceProcess::kPatience, [this] {
    return absl::StrContains(service_.log(), "Slurm does not answer");
  }));
  cluster_->StartController();
  ExpectSameWeights();
  EXPECT_EQ(service_.Job("run")["attempts"], 1);
}

TEST_F(SlurmTest, JobThatSlurmWillNeverTakeFailsWithSlurmsWords) {
  service_.Start();
  json spec = Spec();
  spec["resources"]["slurm"] = {{"partition", "nowhere"}};
  service_.Submit("run", spec);
  EXPECT_EQ(service_.AwaitEnd("run"), "FAILED");
  EXPECT_THAT(service_.Job("run")["state_reason"].get<std::string>(),
              HasSubstr("invalid partition specified: nowhere"));
}

TEST_F(SlurmTest, JobThatWaitsInSlurmSaysWhy) {
  cluster_->Run({"scontrol", "update", "PartitionName=main", "State=DOWN"});
  service_.Start();
  service_.Submit("run", Spec());
  EXPECT_TRUE(PollUntil(ServiceProcess::kPatience, [this] {
    return absl::StrContains(service_.Json({"jobs", "get", "run"}).dump(),
                             "Slurm: PartitionDown");
  })) << service_.Job("run");
  cluster_->Run({"scontrol", "update", "PartitionName=main", "State=UP"});
  ExpectSameWeights();
}

TEST_F(SlurmTest, JobCancelledWhileItWaitsInSlurmNeverRan) {
  cluster_->Run({"scontrol", "update", "PartitionName=main", "State=DOWN"});
  service_.Start();
  service_.Submit("run", Spec());
  EXPECT_TRUE(PollUntil(ServiceProcess::kPatience, [this] {
    return absl::StrContains(service_.Json({"jobs", "get", "run"}).dump(),
                             "Slurm: PartitionDown");
  })) << service_.Job("run");
  EXPECT_EQ(service_.Cli({"jobs", "cancel", "run"}).code, 0);
  EXPECT_EQ(service_.AwaitEnd("run"), "CANCELLED");
  cluster_->Run({"scontrol", "update", "PartitionName=main", "State=UP"});
  EXPECT_THAT(service_.log(),
              HasSubstr("Slurm: cancelled while it waited in the queue"));
  EXPECT_THAT(service_.Events("run"), ::testing::Not(HasSubstr("worker lost")));
}

}  // namespace
}  // namespace retort::testing
