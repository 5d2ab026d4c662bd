#include "server/executor/local_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <deque>
#include <fstream>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "server/executor/process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::executor {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kJob[] = "projects/p/jobs/j";

// Hands over the ends of processes to the test that waits for them.
class Exits : public WorkerListener {
 public:
  void OnAttached(const std::string&, int64_t, const internal::v1::Hello&,
                  std::shared_ptr<WorkerSession>) override {}
  void OnMessage(const std::string&, int64_t,
                 const internal::v1::AttachRequest&) override {}
  void OnDetached(const std::string&, int64_t) override {}
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
  std::unique_ptr<LocalExecutor> MakeExecutor(const std::string& script) {
    const std::string path = dir_.path() + "/worker";
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    ::chmod(path.c_str(), 0755);
    return std::make_unique<LocalExecutor>(
        LocalExecutorOptions{path, dir_.path() + "/s"}, &links_);
  }
  ProcessSpec Spec() const {
    ProcessSpec spec;
    spec.subject = kJob;
    spec.epoch = 3;
    spec.role = "task";
    spec.log_path = log_path_;
    spec.token = "secret";
    return spec;
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
  const std::string child_file = dir_.path() + "/worker.child";
  absl::StatusOr<std::string> child = base::ReadFile(child_file);
  while (!child.ok() || child->empty()) child = base::ReadFile(child_file);
  executor->Kill(kJob, 3);
  EXPECT_EQ(exits_.Next().signal, SIGKILL);
  // The child may be a zombie for a moment, which StartTicks calls gone.
  while (StartTicks(std::stoll(*child)).has_value()) {
  }
}

TEST_F(LocalExecutorTest, LeavesProcessesToTheNextOne) {
  auto first = MakeExecutor("read line < $0.fifo");
  ASSERT_EQ(::mkfifo((dir_.path() + "/worker.fifo").c_str(), 0600), 0);
  RETORT_ASSERT_OK_AND_ASSIGN(const ProcessId process, first->Start(Spec()));
  first.reset();
  EXPECT_TRUE(IsAlive(process));
  auto second = MakeExecutor("");
  ASSERT_THAT(second->Adopt(kJob, 3, process, base::Sha256Hex("secret")),
              IsOk());
  second->Kill(kJob, 3);
  EXPECT_FALSE(exits_.Next().known);
}

TEST_F(LocalExecutorTest, DoesNotAdoptAProcessThatIsGoneOrAnother) {
  auto executor = MakeExecutor("");
  EXPECT_THAT(executor->Adopt(kJob, 3, {int64_t{1} << 30, 1}, "hash"),
              StatusIs(absl::StatusCode::kNotFound));
  // Same pid, other start: not the process that was meant.
  EXPECT_THAT(executor->Adopt(kJob, 3, {::getpid(), 1}, "hash"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(LocalExecutorTest, SaysWhyAWorkerCannotBeStarted) {
  LocalExecutor executor({dir_.path() + "/nothing", dir_.path() + "/s"},
                         &links_);
  EXPECT_THAT(executor.Start(Spec()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nothing")));
}

}  // namespace
}  // namespace retort::executor
