#include "server/scheduler/log_tail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_dir.h"

namespace retort::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(LastLinesTest, ReturnsTheEndOfALog) {
  retort::testing::TempDir dir;
  const std::string path = dir.path() + "/log";
  std::ofstream(path) << "one\ntwo\n\nthree\nfour";
  EXPECT_THAT(LastLines(path, 2), ElementsAre("three", "four"));
  EXPECT_THAT(LastLines(path, 9), ElementsAre("one", "two", "three", "four"));
}

TEST(LastLinesTest, LooksOnlyAtTheEndOfALongLog) {
  retort::testing::TempDir dir;
  const std::string path = dir.path() + "/log";
  {
    std::ofstream file(path);
    for (int i = 0; i < 100000; ++i) file << "line " << i << "\n";
  }
  EXPECT_THAT(LastLines(path, 3), SizeIs(3));
}

TEST(LastLinesTest, ReturnsNothingForAMissingLog) {
  EXPECT_THAT(LastLines("/no/such/log", 3), IsEmpty());
}

}  // namespace
}  // namespace retort::scheduler
