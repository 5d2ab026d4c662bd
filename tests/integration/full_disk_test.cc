// A disk that fills up while a job trains.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/training_run.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

using FullDiskTest = TrainingRunTest;

constexpr char kTooLarge[] = "File too large";
constexpr char kRaiseTheLimit[] = "raise the file size limit (ulimit -f)";

// Bytes that a process may write into one file.
void LimitFiles(pid_t pid, rlim_t bytes) {
  const rlimit limit = {bytes, RLIM_INFINITY};
  ASSERT_EQ(prlimit(pid, RLIMIT_FSIZE, &limit, nullptr), 0);
}

TEST_F(FullDiskTest, CheckpointThatDoesNotFitIsAWarningAndTheNextOneCounts) {
  // A limit on the size of files hits checkpoints as a full disk does, and
  // nothing else.
  const int64_t good = StartRun();
  const pid_t worker = service_.AwaitWorker("run");
  LimitFiles(worker, 60000);
  ASSERT_TRUE(PollUntil(ServiceProcess::kPatience, [this] {
    return WorkerLog().find("Training goes on") != std::string::npos;
  }));
  const std::vector<int64_t> steps = service_.CheckpointsOnDisk("run");
  ASSERT_FALSE(steps.empty()) << "the previous one is lost";
  EXPECT_GE(steps.back(), good);
  LimitFiles(worker, RLIM_INFINITY);
  ExpectSameResult(/*attempts=*/1);
  EXPECT_THAT(service_.Events("run"),
              AllOf(HasSubstr(kTooLarge), HasSubstr(kRaiseTheLimit),
                    HasSubstr(absl::StrCat("The checkpoint of step ",
                                           steps.back(), " is untouched"))));
}

TEST_F(FullDiskTest, ResultThatDoesNotFitWaitsForRoomAndSaysWhatToDo) {
  StartRun();
  // The next worker has no such limit.
  LimitFiles(service_.AwaitWorker("run"), 60000);
  ExpectSameResult(/*attempts=*/2);
  EXPECT_THAT(service_.Events("run"),
              AllOf(HasSubstr("QUEUED (saving the checkpoint"),
                    HasSubstr(kTooLarge), HasSubstr(kRaiseTheLimit)));
}

TEST_F(FullDiskTest, JobStoppedOnAFullDiskGoesOnFromItsLastCheckpoint) {
  StartRun();
  LimitFiles(service_.AwaitWorker("run"), 60000);
  EXPECT_EQ(service_.Stop(), 0) << service_.log();
  service_.Start();
  ExpectSameResult(/*attempts=*/2);
  EXPECT_THAT(service_.Events("run"),
              AllOf(HasSubstr(kTooLarge), HasSubstr(kRaiseTheLimit)));
}

// A disk of its own for the data directory: a tmpfs in a mount namespace of
// this test program, which goes with it.
class SmallDiskTest : public TrainingRunTest {
 protected:
  static constexpr char kSize[] = "size=6m";

  void SetUp() override {
    mounted_ = Mount();
    if (!mounted_) {
      GTEST_SKIP() << "no leave to mount a tmpfs: " << strerror(errno);
    }
  }
  void TearDown() override {
    if (!mounted_) return;
    service_.Stop();
    umount2(service_.data_dir().c_str(), MNT_DETACH);
  }

  bool Mount() {
    if (!OwnNamespace()) return false;
    std::filesystem::create_directory(service_.data_dir());
    return mount("none", service_.data_dir().c_str(), "tmpfs", 0, kSize) == 0;
  }

  static bool OwnNamespace() {
    static const bool own = [] {
      if (unshare(CLONE_NEWNS) == 0) return MakePrivate();
      const uid_t uid = getuid();
      const gid_t gid = getgid();
      if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
      std::ofstream("/proc/self/setgroups") << "deny";
      std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
      std::ofstream("/proc/self/gid_map") << "0 " << gid << " 1";
      return MakePrivate();
    }();
    return own;
  }
  static bool MakePrivate() {
    return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  }

  // Writes until only `left` bytes are free.
  void Fill(int64_t left) {
    const std::string path = service_.data_dir() + "/filler";
    {
      std::ofstream file(path, std::ios::binary);
      const std::string block(4096, 'x');
      while (file.write(block.data(), block.size()).flush()) {
      }
    }
    const int64_t filled = std::filesystem::file_size(path);
    ASSERT_GT(filled, left);
    std::filesystem::resize_file(path, filled - left);
  }
  void MakeRoom() { unlink((service_.data_dir() + "/filler").c_str()); }

 private:
  bool mounted_ = false;
};

TEST_F(SmallDiskTest, CheckpointThatDoesNotFitSaysWhatToDo) {
  StartRun();
  Fill(/*left=*/150000);  // for the database, not for a checkpoint
  ASSERT_TRUE(PollUntil(ServiceProcess::kPatience, [this] {
    return WorkerLog().find("Training goes on") != std::string::npos;
  }));
  EXPECT_FALSE(service_.CheckpointsOnDisk("run").empty());
  MakeRoom();
  ExpectSameResult(/*attempts=*/1);
  EXPECT_THAT(
      service_.Events("run"),
      AllOf(HasSubstr("No space left on device"),
            HasSubstr("free space on the disk of"), HasSubstr("is untouched")));
}

TEST_F(SmallDiskTest, JobOutlivesADiskWithoutAByteLeft) {
  StartRun();
  Fill(/*left=*/0);
  ASSERT_TRUE(service_.AwaitStep("run", 80)) << "training goes on";
  EXPECT_EQ(service_.State("run"), "RUNNING");
  EXPECT_FALSE(service_.CheckpointsOnDisk("run").empty());
  MakeRoom();
  ExpectSameResult(/*attempts=*/1);
  EXPECT_THAT(
      service_.log(),
      HasSubstr(absl::StrCat("database or disk is full; free some space where ",
                             service_.data_dir(), "/retort.db lies")));
}

}  // namespace
}  // namespace retort::testing
