#include "client/interrupt_note.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>

namespace retort::client {
namespace {

TEST(InterruptNoteDeathTest, CtrlCSaysItAndEndsTheProcess) {
  EXPECT_EXIT(
      {
        SayWhenInterrupted("the job goes on");
        raise(SIGINT);
        std::exit(0);
      },
      ::testing::KilledBySignal(SIGINT), "^\nthe job goes on\n$");
}

}  // namespace
}  // namespace retort::client
