#include "core/base/stop_flag.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace retort::base {
namespace {

class StopFlagTest : public ::testing::Test {
 protected:
  void SetUp() override {
    InstallStopSignals();
    ResetStopForTesting();
  }
  void TearDown() override { ResetStopForTesting(); }
};

TEST_F(StopFlagTest, StartsClear) {
  EXPECT_FALSE(StopRequested());
  EXPECT_EQ(StopSignal(), 0);
}

TEST_F(StopFlagTest, IsSetByTheFirstSignalAndKeepsItsNumber) {
  raise(SIGTERM);
  raise(SIGTERM);
  raise(SIGINT);
  EXPECT_TRUE(StopRequested());
  EXPECT_TRUE(StopFlag()->load());
  EXPECT_EQ(StopSignal(), SIGTERM);
}

TEST_F(StopFlagTest, IsSetFromCodeWithoutASignal) {
  RequestStop();
  EXPECT_TRUE(StopRequested());
  EXPECT_EQ(StopSignal(), 0);
}

TEST_F(StopFlagTest, SurvivesABrokenPipe) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  close(fds[0]);
  EXPECT_EQ(write(fds[1], "x", 1), -1);
  close(fds[1]);
  EXPECT_FALSE(StopRequested());
}

using StopFlagDeathTest = StopFlagTest;

TEST_F(StopFlagDeathTest, EndsTheProcessAtTheSecondInterrupt) {
  EXPECT_EXIT(
      {
        raise(SIGINT);
        raise(SIGINT);
      },
      ::testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace retort::base
