#include "server/executor/slurm_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "server/executor/subprocess.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::executor::slurm {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

GangSpec Gang() {
  GangSpec spec;
  spec.subject = "projects/p/jobs/it's";
  spec.epoch = 3;
  spec.ranks = 4;
  spec.log_path = "/data/jobs/j/worker.log";
  spec.token = "secret";
  return spec;
}

ScriptOptions Options() {
  ScriptOptions options;
  options.instance = "1f";
  options.worker_binary = "/opt/retort/bin/retort-worker";
  options.server = "head:7435";
  options.gpus_per_node = 8;
  return options;
}

TEST(SlurmArgumentsTest, NameTheGangAndItsSizeAndNoSecret) {
  GangSpec spec = Gang();
  spec.threads = 2;
  const std::vector<std::string> arguments = SubmitArguments(spec, Options());
  EXPECT_THAT(arguments,
              AllOf(Contains("--job-name=retort-1f:projects/p/jobs/it's@3"),
                    Contains("--ntasks=4"), Contains("--cpus-per-task=2"),
                    Contains("--output=/data/jobs/j/worker.log"),
                    Contains("--open-mode=append")));
  EXPECT_THAT(arguments, Not(Contains(HasSubstr("secret"))));
  EXPECT_THAT(arguments, Not(Contains(StartsWith("--nodes"))));
  EXPECT_THAT(arguments, Not(Contains(StartsWith("--gres"))));
  EXPECT_THAT(arguments, Not(Contains(StartsWith("--time"))));
}

TEST(SlurmArgumentsTest, PassOnWhatTheJobSaysToSlurm) {
  GangSpec spec = Gang();
  spec.slurm.set_account("physics");
  spec.slurm.set_partition("a800");
  spec.slurm.set_qos("high");
  spec.slurm.set_constraint("ib");
  spec.slurm.set_gres("gpu:a800:4");
  EXPECT_THAT(SubmitArguments(spec, Options()),
              AllOf(Contains("--account=physics"), Contains("--partition=a800"),
                    Contains("--qos=high"), Contains("--constraint=ib"),
                    Contains("--gres=gpu:a800:4")));
}

TEST(SlurmArgumentsTest, RanksPerNodeGiveTheNumberOfNodes) {
  GangSpec spec = Gang();
  spec.max_ranks_per_node = 1;
  EXPECT_THAT(SubmitArguments(spec, Options()),
              AllOf(Contains("--ntasks-per-node=1"), Contains("--nodes=4")));
}

TEST(SlurmArgumentsTest, RanksWithGpusAreSpreadEvenlyOverFewNodes) {
  GangSpec spec = Gang();
  spec.ranks = 12;
  spec.gpus = 1;
  EXPECT_THAT(SubmitArguments(spec, Options()),
              AllOf(Contains("--nodes=2"), Contains("--ntasks-per-node=6"),
                    Contains("--gres=gpu:6")));
  spec.ranks = 16;
  EXPECT_THAT(SubmitArguments(spec, Options()),
              AllOf(Contains("--nodes=2"), Contains("--gres=gpu:8")));
}

TEST(SlurmArgumentsTest, SlurmsLimitIsALittleLaterThanOurs) {
  GangSpec spec = Gang();
  spec.time_limit = absl::Seconds(90);
  EXPECT_THAT(SubmitArguments(spec, Options()), Contains("--time=4"));
}

TEST(SlurmScriptTest, QuotesWhatAShellWouldRead) {
  EXPECT_EQ(ShellWord("it's $HOME"), "'it'\\''s $HOME'");
}

// Runs the script with the programs of Slurm replaced: scontrol tells of two
// nodes, srun prints its arguments and runs the rest as task 1 on n2.
class SlurmScriptRunTest : public ::testing::Test {
 protected:
  SlurmScriptRunTest() {
    Program("scontrol",
            "echo 'NodeName=n1 Arch=x NodeAddr=10.0.0.1 NodeHostName=n1'\n"
            "echo 'NodeName=n2 Arch=x NodeAddr=10.0.0.2 NodeHostName=n2'");
    Program("srun",
            "while [ \"$1\" != sh ]; do echo \"srun $1\"; shift; done\n"
            "export SLURM_PROCID=1 SLURM_LOCALID=1 SLURMD_NODENAME=n2\n"
            "exec \"$@\"");
    Program("worker",
            "echo \"host $RETORT_GANG_HOST token $RETORT_WORKER_TOKEN "
            "threads $OMP_NUM_THREADS cuda ${CUDA_VISIBLE_DEVICES-unset}\"\n"
            "for word; do echo \"word $word\"; done");
  }

  void Program(const std::string& name, const std::string& body) {
    const std::string path = dir_ / name;
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }

  SubprocessResult Run(const GangSpec& spec, const std::string& setting) {
    ScriptOptions options = Options();
    options.worker_binary = dir_ / "worker";
    SubprocessOptions how;
    how.stdin_text =
        absl::StrCat("PATH=", dir_.path(), ":$PATH\nexport SLURM_JOB_ID=7 ",
                     setting, "\n", BatchScript(spec, options));
    auto result = RunToEnd({"/bin/sh"}, how);
    EXPECT_TRUE(result.ok()) << result.status();
    return *result;
  }

  retort::testing::TempDir dir_;
};

TEST_F(SlurmScriptRunTest, EachRankKnowsItsPlaceAndSecret) {
  GangSpec spec = Gang();
  spec.threads = 3;
  const std::string out = Run(spec, "SLURM_JOB_NODELIST='n[1-2]'").stdout_text;
  EXPECT_THAT(out, HasSubstr("retort: slurm job 7 (epoch 3) on n[1-2]\n"));
  EXPECT_THAT(out, HasSubstr("srun --kill-on-bad-exit=1\nsrun --ntasks=4\n"
                             "srun --cpus-per-task=3\n"));
  EXPECT_THAT(out, HasSubstr("host 10.0.0.2 token secret threads 3 cuda \n"));
  EXPECT_THAT(out, HasSubstr("word --server=head:7435\n"
                             "word --subject=projects/p/jobs/it's\n"
                             "word --epoch=3\nword --ranks=4\n"
                             "word --log_level=info\nword --rank=1\n"));
}

TEST_F(SlurmScriptRunTest, RankTakesOneOfTheNodesDevices) {
  GangSpec spec = Gang();
  spec.gpus = 1;
  EXPECT_THAT(Run(spec, "CUDA_VISIBLE_DEVICES=4,6").stdout_text,
              HasSubstr("cuda 6\n"));
}

TEST_F(SlurmScriptRunTest, StartedAgainItRunsNothing) {
  const SubprocessResult result = Run(Gang(), "SLURM_RESTART_COUNT=1");
  EXPECT_EQ(result.exit.code, 0);
  EXPECT_THAT(result.stdout_text, HasSubstr("requeued by Slurm"));
  EXPECT_THAT(result.stdout_text, Not(HasSubstr("srun")));
}

}  // namespace
}  // namespace retort::executor::slurm
