#include "server/executor/local_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <fstream>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "server/executor/cgroup.h"
#include "server/executor/gang_processes.h"
#include "server/executor/process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::executor {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::IsOkAndHolds;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kJob[] = "projects/p/jobs/j";
// A worker that waits to be killed, and is found by its arguments: a shell that
// waits for a child.
constexpr char kWaits[] = "sleep 600 & wait";

// Hands over the ends of processes to the test that waits for them.
class Exits : public WorkerListener {
 public:
  void OnAttached(const std::string&, int64_t, const internal::v1::Hello&,
                  std::shared_ptr<WorkerSession>) override {}
  void OnMessage(const std::string&, int64_t, int,
                 const internal::v1::AttachRequest&) override {}
  void OnDetached(const std::string&, int64_t, int) override {}
  void OnExited(const std::string&, int64_t, const ExitStatus& exit) override {
    absl::MutexLock lock(&mutex_);
    exits_.push_back(exit);
  }
  ExitStatus Next() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](std::deque<ExitStatus>* exits) { return !exits->empty(); },
        &exits_));
    ExitStatus exit = exits_.front();
    exits_.pop_front();
    return exit;
  }

 private:
  absl::Mutex mutex_;
  std::deque<ExitStatus> exits_ ABSL_GUARDED_BY(mutex_);
};

class LocalExecutorTest : public ::testing::Test {
 protected:
  LocalExecutorTest() { links_.SetListener("jobs", &exits_); }

  // An executor whose worker is a shell script.
  std::unique_ptr<LocalExecutor> MakeExecutor(const std::string& script,
                                              int gpus = 0) {
    const std::string path = dir_.path() + "/worker";
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    ::chmod(path.c_str(), 0755);
    LocalExecutorOptions options;
    options.worker_binary = path;
    options.socket_path = dir_.path() + "/s";
    options.gpus = gpus;
    return std::make_unique<LocalExecutor>(options, &links_);
  }
  GangSpec Spec() const {
    GangSpec spec;
    spec.subject = kJob;
    spec.epoch = 3;
    spec.role = "task";
    spec.log_path = log_path_;
    spec.token = "secret";
    return spec;
  }

  GangSpec Gang(int ranks) const {
    GangSpec spec = Spec();
    spec.ranks = ranks;
    return spec;
  }
  static std::vector<bool> Alive(const std::string& handle) {
    std::vector<bool> alive;
    const std::vector<ProcessId> ranks = FromHandle(handle).value();
    for (const ProcessId& rank : ranks) {
      alive.push_back(IsAlive(rank));
    }
    return alive;
  }
  // What the worker writes to a file.
  std::string AwaitFile(const std::string& name) const {
    absl::StatusOr<std::string> text = base::ReadFile(dir_.path() + "/" + name);
    while (!text.ok() || text->empty()) {
      text = base::ReadFile(dir_.path() + "/" + name);
    }
    return *text;
  }

  retort::testing::TempDir dir_;
  const std::string log_path_ = dir_.path() + "/worker.log";
  Exits exits_;
  WorkerLinks links_;
};

TEST_F(LocalExecutorTest, GivesTheWorkerItsNameInArgvAndItsSecretElsewhere) {
  auto executor = MakeExecutor("echo \"$@\"; echo token=$RETORT_WORKER_TOKEN");
  ASSERT_THAT(executor->Start(Spec()), IsOk());
  EXPECT_EQ(exits_.Next().code, 0);
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string log, base::ReadFile(log_path_));
  const std::string argv = log.substr(0, log.find('\n'));
  EXPECT_THAT(argv, HasSubstr("--server=unix:" + dir_.path() + "/s"));
  EXPECT_THAT(argv, HasSubstr("--subject=projects/p/jobs/j --epoch=3"));
  EXPECT_THAT(argv, Not(HasSubstr("secret")));
  EXPECT_THAT(log, HasSubstr("token=secret"));
}

TEST_F(LocalExecutorTest, ExpectsTheWorkerThatItStarts) {
  auto executor = MakeExecutor("exec sleep 600");
  ASSERT_THAT(executor->Start(Spec()), IsOk());
  internal::v1::Hello hello;
  hello.set_subject(kJob);
  hello.set_epoch(3);
  hello.set_token("secret");
  EXPECT_THAT(links_.Admit(hello), IsOk());
  executor->Kill(kJob, 3);
  exits_.Next();
}

TEST_F(LocalExecutorTest, TellsHowAProcessEnded) {
  auto executor = MakeExecutor("exit 4");
  ASSERT_THAT(executor->Start(Spec()), IsOk());
  EXPECT_EQ(exits_.Next().ToString(), "exit code 4");
}

TEST_F(LocalExecutorTest, KillsAProcessWithItsChildren) {
  auto executor = MakeExecutor("sleep 1000 & echo $! > $0.child; wait");
  ASSERT_THAT(executor->Start(Spec()), IsOk());
  const int64_t child = std::stoll(AwaitFile("worker.child"));
  executor->Kill(kJob, 3);
  EXPECT_EQ(exits_.Next().signal, SIGKILL);
  // The child may be a zombie for a moment, which StartTicks calls gone.
  while (StartTicks(child).has_value()) {
  }
}

TEST_F(LocalExecutorTest, LeavesProcessesToTheNextOne) {
  auto first = MakeExecutor(kWaits);
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string handle, first->Start(Gang(2)));
  first.reset();
  EXPECT_THAT(Alive(handle), ElementsAre(true, true));
  auto second = MakeExecutor(kWaits);
  ASSERT_THAT(second->Adopt(kJob, 3, handle, base::Sha256Hex("secret")),
              IsOk());
  second->Kill(kJob, 3);
  EXPECT_FALSE(exits_.Next().known);
}

TEST_F(LocalExecutorTest, DoesNotAdoptAProcessThatIsGoneOrAnother) {
  auto executor = MakeExecutor("");
  EXPECT_THAT(executor->Adopt(kJob, 3, "local 1073741824:1", "hash"),
              StatusIs(absl::StatusCode::kNotFound));
  // Same pid, other start: not the process that was meant.
  EXPECT_THAT(
      executor->Adopt(kJob, 3, absl::StrCat("local ", ::getpid(), ":1"), "h"),
      StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(LocalExecutorTest, DoesNotAdoptTheGangOfAnotherExecutor) {
  auto executor = MakeExecutor("");
  EXPECT_THAT(
      executor->Adopt(kJob, 3, "slurm 12", "hash"),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("slurm 12")));
}

TEST_F(LocalExecutorTest, FindsAGangOfWhichItHasNoHandle) {
  auto first = MakeExecutor(kWaits);
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string handle, first->Start(Gang(3)));
  first.reset();
  auto second = MakeExecutor(kWaits);
  EXPECT_THAT(second->Adopt(kJob, 3, "", "hash"), IsOkAndHolds(handle));
  EXPECT_THAT(second->Adopt(kJob, 4, "", "hash"),
              StatusIs(absl::StatusCode::kNotFound));
  second->Kill(kJob, 3);
  exits_.Next();
}

TEST_F(LocalExecutorTest, EndsWhatIsLeftOfAGangThatItWouldAdopt) {
  for (const bool knows_handle : {true, false}) {
    auto first = MakeExecutor(kWaits);
    RETORT_ASSERT_OK_AND_ASSIGN(const std::string handle,
                                first->Start(Gang(3)));
    first.reset();
    const auto ranks = *FromHandle(handle);
    SignalGroup(ranks[1].pid, SIGKILL);
    AwaitEnd(ranks[1].pid);
    auto second = MakeExecutor(kWaits);
    EXPECT_THAT(second->Adopt(kJob, 3, knows_handle ? handle : "", "hash"),
                StatusIs(absl::StatusCode::kNotFound));
    EXPECT_THAT(Alive(handle), ElementsAre(false, false, false));
  }
}

TEST_F(LocalExecutorTest, GivesEachRankItsNumber) {
  auto executor = MakeExecutor("echo \"$@\"");
  ASSERT_THAT(executor->Start(Gang(2)), IsOk());
  EXPECT_EQ(exits_.Next().ToString(), "exit code 0");
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string log, base::ReadFile(log_path_));
  EXPECT_THAT(log, HasSubstr("--rank=0 --ranks=2"));
  EXPECT_THAT(log, HasSubstr("--rank=1 --ranks=2"));
}

TEST_F(LocalExecutorTest, NamesTheRankThatTookTheOthersWithIt) {
  auto executor =
      MakeExecutor("[ \"$4\" = --rank=1 ] && exit 3; exec sleep 600");
  ASSERT_THAT(executor->Start(Gang(3)), IsOk());
  const ExitStatus exit = exits_.Next();
  EXPECT_EQ(exit.rank, 1);
  EXPECT_EQ(exit.code, 3);
  EXPECT_THAT(exit.ToString(), StartsWith("rank 1 on "));
}

TEST_F(LocalExecutorTest, LetsOneRankEndWellBeforeTheOthers) {
  auto executor = MakeExecutor(
      "[ \"$4\" = --rank=0 ] || exit 0; read line < $0.fifo; exit 0");
  const std::string fifo = dir_.path() + "/worker.fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string handle,
                              executor->Start(Gang(2)));
  while (IsAlive(FromHandle(handle)->at(1))) {
  }
  std::ofstream(fifo) << "end\n";
  EXPECT_EQ(exits_.Next().ToString(), "exit code 0");
}

TEST_F(LocalExecutorTest, RefusesAGangForWhichThereAreNotEnoughGpus) {
  auto executor = MakeExecutor(kWaits, /*gpus=*/1);
  GangSpec spec = Gang(2);
  spec.gpus = 1;
  EXPECT_THAT(executor->Start(spec),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("needs 2 GPUs; this machine has 1")));
  EXPECT_THAT(FindGang(GangArguments(dir_.path() + "/s", kJob, 3)), IsEmpty());
}

TEST_F(LocalExecutorTest, GivesEachRankAGpuOfItsOwnAndTakesItBack) {
  auto executor = MakeExecutor(
      "echo \"gpu=$CUDA_VISIBLE_DEVICES threads=$OMP_NUM_THREADS\"", 3);
  GangSpec spec = Gang(2);
  spec.gpus = 1;
  spec.threads = 4;
  for (const int64_t epoch : {1, 2}) {
    spec.epoch = epoch;
    ASSERT_THAT(executor->Start(spec), IsOk());
    exits_.Next();
  }
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string log, base::ReadFile(log_path_));
  EXPECT_THAT(log, HasSubstr("gpu=0 threads=4"));
  EXPECT_THAT(log, HasSubstr("gpu=1 threads=4"));
  EXPECT_THAT(log, Not(HasSubstr("gpu=2")));
}

TEST_F(LocalExecutorTest, DoesNotStartAGangForWhichTooFewGpusAreFree) {
  auto executor = MakeExecutor(kWaits, 3);
  GangSpec spec = Gang(2);
  spec.gpus = 1;
  ASSERT_THAT(executor->Start(spec), IsOk());
  spec.epoch = 4;
  EXPECT_THAT(executor->Start(spec),
              StatusIs(absl::StatusCode::kResourceExhausted));
  executor->Kill(kJob, 3);
  exits_.Next();
}

TEST_F(LocalExecutorTest, KillsWhatHasLeftItsProcessGroup) {
  if (FindCgroupParent().empty()) {
    GTEST_SKIP() << "control groups cannot be made here";
  }
  // A worker starts nothing before it is in its group: Start() puts it there
  // at once, long before a real one has read its arguments.
  auto executor = MakeExecutor(
      "until grep -q retort-gang- /proc/self/cgroup; do :; done\n"
      "setsid sleep 1000 & echo $! > $0.child; wait");
  ASSERT_THAT(executor->Start(Gang(1)), IsOk());
  const int64_t child = std::stoll(AwaitFile("worker.child"));
  executor->Kill(kJob, 3);
  EXPECT_EQ(exits_.Next().signal, SIGKILL);
  while (StartTicks(child).has_value()) {
  }
}

TEST_F(LocalExecutorTest, SweepsUpTheControlGroupOfAGangThatEndedAlone) {
  if (FindCgroupParent().empty()) {
    GTEST_SKIP() << "control groups cannot be made here";
  }
  auto first = MakeExecutor(kWaits);
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string handle, first->Start(Gang(1)));
  const ProcessId worker = FromHandle(handle)->at(0);
  const std::string group = CgroupOf(worker.pid, "retort-gang-");
  ASSERT_TRUE(base::FileExists(group));
  first.reset();
  KillCgroup(group);
  AwaitEnd(worker.pid);
  // What it had started takes a moment to go.
  do {
    MakeExecutor(kWaits);
  } while (base::FileExists(group));
}

TEST(GangEndTest, BlamesTheRankThatWasLostNotTheOneThatMissedIt) {
  GangEnd end(3);
  end.Add(2, {.code = kPeersLostExitCode}, false);
  EXPECT_TRUE(end.is_bad());
  EXPECT_FALSE(end.has_culprit());
  end.Add(1, {.signal = SIGSEGV}, false);
  end.Add(0, {.signal = SIGKILL}, /*killed=*/true);
  EXPECT_EQ(end.exit().ToString(),
            "rank 1: killed by signal 11 (Segmentation fault)");
}

TEST(GangEndTest, NamesTheFirstToGoOfAGangThatItDidNotStart) {
  GangEnd end(2);
  end.Add(1, {.known = false}, false);
  EXPECT_FALSE(end.is_bad()) << "it may have been done";
  end.Add(0, {.known = false}, false);
  EXPECT_EQ(end.exit().ToString(), "rank 1: gone");
}

TEST(GangEndTest, BlamesNobodyForAGangThatWasKilled) {
  GangEnd end(2);
  end.Add(0, {.signal = SIGKILL}, /*killed=*/true);
  end.Add(1, {.signal = SIGKILL}, /*killed=*/true);
  EXPECT_FALSE(end.is_bad());
  EXPECT_EQ(end.exit().ToString(), "killed by signal 9 (Killed)");
}

TEST_F(LocalExecutorTest, SaysWhyAWorkerCannotBeStarted) {
  LocalExecutorOptions options;
  options.worker_binary = dir_.path() + "/nothing";
  LocalExecutor executor(options, &links_);
  EXPECT_THAT(executor.Start(Spec()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nothing")));
}

}  // namespace
}  // namespace retort::executor
