#include "server/rpc/log_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_dir.h"

namespace retort::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LogFileTest : public ::testing::Test {
 protected:
  void Append(const std::string& text) {
    std::ofstream(path_, std::ios::app) << text;
  }
  retort::testing::TempDir dir_;
  const std::string path_ = dir_.path() + "/worker.log";
};

TEST_F(LogFileTest, ReadsWholeLinesAsTheyCome) {
  LogFile file(path_, 0);
  EXPECT_THAT(file.Next(false), IsEmpty());
  Append("one\ntw");
  EXPECT_THAT(file.Next(false), ElementsAre("one"));
  EXPECT_THAT(file.Next(false), IsEmpty());
  Append("o\n");
  EXPECT_THAT(file.Next(false), ElementsAre("two"));
}

TEST_F(LogFileTest, GivesAnUnfinishedLineOnlyAtTheEnd) {
  LogFile file(path_, 0);
  Append("one");
  EXPECT_THAT(file.Next(false), IsEmpty());
  EXPECT_THAT(file.Next(true), ElementsAre("one"));
  EXPECT_THAT(file.Next(true), IsEmpty());
}

TEST_F(LogFileTest, KeepsEmptyLines) {
  LogFile file(path_, 0);
  Append("\n\none\n");
  EXPECT_THAT(file.Next(false), ElementsAre("", "", "one"));
}

TEST_F(LogFileTest, BeginsAtTheTail) {
  Append("one\ntwo\nthree\n");
  LogFile file(path_, 2);
  EXPECT_THAT(file.Next(false), ElementsAre("two", "three"));
  LogFile all(path_, 9);
  EXPECT_THAT(all.Next(false), SizeIs(3));
}

TEST_F(LogFileTest, FindsTheTailOfALongFile) {
  for (int i = 0; i < 30000; ++i) Append("line\n");
  Append("last\n");
  LogFile file(path_, 1);
  EXPECT_THAT(file.Next(false), ElementsAre("last"));
}

}  // namespace
}  // namespace retort::rpc
