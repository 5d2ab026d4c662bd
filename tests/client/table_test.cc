#include "client/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"

namespace retort::client {
namespace {

using ::testing::ElementsAre;

Table Jobs() {
  Table table({"JOB", "CLASS", "WHY"});
  table.Add({"a-job", "normal", "waits for a node with 8 free GPUs (1 now)"});
  table.Add({"b", "low", "no"});
  return table;
}

std::vector<std::string> Lines(const Table& table, int columns,
                               const std::vector<std::string>& spare) {
  return absl::StrSplit(table.ToString(columns, spare), '\n');
}

TEST(TableTest, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({"A", "B"});
  table.Add({"long cell", "x"});
  table.Add({"y"});
  EXPECT_EQ(table.ToString(), "A          B\nlong cell  x\ny\n");
}

TEST(TableTest, TheLastColumnGoesOnBelow) {
  EXPECT_THAT(Lines(Jobs(), 50, {}),
              ElementsAre("JOB    CLASS   WHY",
                          "a-job  normal  waits for a node with 8 free GPUs",
                          "               (1 now)", "b      low     no", ""));
}

TEST(TableTest, SpareColumnsGoBeforeSentencesGetShort) {
  EXPECT_THAT(
      Lines(Jobs(), 46, {"CLASS"}),
      ElementsAre("JOB    WHY", "a-job  waits for a node with 8 free GPUs (1",
                  "       now)", "b      no", ""));
}

TEST(TableTest, ColumnsThatFitStay) {
  EXPECT_EQ(Jobs().ToString(80, {"CLASS"}), Jobs().ToString());
}

TEST(TableTest, LongNamesLoseTheirMiddleLast) {
  Table table({"JOB", "STATE"});
  table.Add({"a-job-of-a-long-name-indeed", "running"});
  EXPECT_THAT(
      Lines(table, 25, {}),
      ElementsAre("JOB               STATE", "a-job-o..-indeed  running", ""));
}

TEST(TableTest, TextIsWrappedBetweenWords) {
  EXPECT_THAT(Wrapped("one two three", 7), ElementsAre("one two", "three"));
  EXPECT_THAT(Wrapped("abcdefgh ij", 4), ElementsAre("abcd", "efgh", "ij"));
  EXPECT_THAT(Wrapped("", 4), ElementsAre(""));
}

}  // namespace
}  // namespace retort::client
