#include "core/base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::base {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::IsOkAndHolds;
using ::retort::testing::StatusIs;
using ::retort::testing::TempDir;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::HasSubstr;

TEST(FileTest, ReadsBackWhatWasWritten) {
  TempDir dir;
  const std::string bytes("a\0b\n", 4);
  ASSERT_THAT(AtomicWriteFile(dir / "f", bytes), IsOk());
  EXPECT_THAT(ReadFile(dir / "f"), IsOkAndHolds(bytes));
  EXPECT_THAT(FileSize(dir / "f"), IsOkAndHolds(4));
}

TEST(FileTest, ReadsFilesThatReportNoSize) {
  EXPECT_THAT(ReadFile("/proc/self/status"), IsOkAndHolds(HasSubstr("Pid:")));
}

TEST(FileTest, NamesAMissingFile) {
  TempDir dir;
  EXPECT_THAT(ReadFile(dir / "none"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(dir / "none")));
  EXPECT_THAT(Sha256File(dir / "none"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(FileTest, RefusesToReadADirectoryAsAFile) {
  TempDir dir;
  EXPECT_THAT(ReadFile(dir.path()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(FileTest, RefusesAFileAboveTheLimit) {
  TempDir dir;
  ASSERT_THAT(AtomicWriteFile(dir / "f", "12345"), IsOk());
  EXPECT_THAT(ReadFile(dir / "f", 5), IsOkAndHolds("12345"));
  EXPECT_THAT(ReadFile(dir / "f", 4),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("larger than the 4 bytes")));
}

TEST(FileTest, HashesAFileLikeItsBytes) {
  TempDir dir;
  const std::string bytes(3 << 20, 'q');
  ASSERT_THAT(AtomicWriteFile(dir / "f", bytes), IsOk());
  EXPECT_THAT(Sha256File(dir / "f"), IsOkAndHolds(Sha256Hex(bytes)));
}

TEST(FileTest, SaysWhatToDoAboutAFullDisk) {
  EXPECT_THAT(ErrnoStatus(ENOSPC, "writing /tmp/x", "/tmp/x"),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("No space left"), HasSubstr("MiB free"),
                             HasSubstr("free space on the disk of /tmp"))));
  EXPECT_THAT(
      ErrnoStatus(EDQUOT, "writing /tmp/x", "/tmp/x"),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("quota")));
}

TEST(FileTest, MakesMissingParents) {
  TempDir dir;
  EXPECT_THAT(MakeDirs(dir / "a/b/c"), IsOk());
  EXPECT_THAT(MakeDirs(dir / "a/b/c"), IsOk());
  EXPECT_TRUE(IsDirectory(dir / "a/b/c"));
}

TEST(FileTest, DoesNotMakeADirectoryWhereAFileIs) {
  TempDir dir;
  ASSERT_THAT(AtomicWriteFile(dir / "a", ""), IsOk());
  EXPECT_THAT(MakeDirs(dir / "a"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(MakeDirs(dir / "a/b").ok());
}

TEST(FileTest, RemovesATreeButNotWhatItsLinksPointTo) {
  TempDir dir;
  ASSERT_THAT(MakeDirs(dir / "tree/inner"), IsOk());
  ASSERT_THAT(AtomicWriteFile(dir / "kept", "x"), IsOk());
  ASSERT_EQ(symlink((dir / "kept").c_str(), (dir / "tree/link").c_str()), 0);
  EXPECT_THAT(RemoveTree(dir / "tree"), IsOk());
  EXPECT_THAT(RemoveTree(dir / "tree"), IsOk());
  EXPECT_THAT(ListDir(dir.path()), IsOkAndHolds(ElementsAre("kept")));
}

TEST(FileTest, RenamesOverAFile) {
  TempDir dir;
  ASSERT_THAT(AtomicWriteFile(dir / "new", "new"), IsOk());
  ASSERT_THAT(AtomicWriteFile(dir / "old", "old"), IsOk());
  EXPECT_THAT(Rename(dir / "new", dir / "old"), IsOk());
  EXPECT_THAT(ReadFile(dir / "old"), IsOkAndHolds("new"));
  EXPECT_FALSE(FileExists(dir / "new"));
}

TEST(FileTest, ReplacesADirectoryThatHoldsSomething) {
  TempDir dir;
  ASSERT_THAT(MakeDirs(dir / "to"), IsOk());
  ASSERT_THAT(AtomicWriteFile(dir / "to/old", ""), IsOk());
  ASSERT_THAT(MakeDirs(dir / "from"), IsOk());
  ASSERT_THAT(AtomicWriteFile(dir / "from/new", ""), IsOk());
  EXPECT_THAT(ReplaceDir(dir / "from", dir / "to"), IsOk());
  EXPECT_THAT(ListDir(dir / "to"), IsOkAndHolds(ElementsAre("new")));
  EXPECT_FALSE(FileExists(dir / "from"));
}

TEST(FileTest, ReplaceDirNeedsNothingToReplace) {
  TempDir dir;
  ASSERT_THAT(MakeDirs(dir / "from"), IsOk());
  EXPECT_THAT(ReplaceDir(dir / "from", dir / "to"), IsOk());
  EXPECT_TRUE(IsDirectory(dir / "to"));
}

TEST(FileTest, ReplaceDirKeepsTheOldOneWhenTheNewIsMissing) {
  TempDir dir;
  ASSERT_THAT(MakeDirs(dir / "to"), IsOk());
  EXPECT_THAT(ReplaceDir(dir / "none", dir / "to"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(IsDirectory(dir / "to"));
}

TEST(FileTest, ListsNamesInOrder) {
  TempDir dir;
  for (const char* name : {"b", "a", ".c"}) {
    ASSERT_THAT(AtomicWriteFile(dir / name, ""), IsOk());
  }
  EXPECT_THAT(ListDir(dir.path()), IsOkAndHolds(ElementsAre(".c", "a", "b")));
  EXPECT_THAT(ListDir(dir / "none"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(FileTest, ReportsFreeSpace) {
  TempDir dir;
  EXPECT_THAT(FreeBytes(dir.path()), IsOkAndHolds(Gt(0)));
  EXPECT_THAT(FreeBytes(dir / "none"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(FileTest, FindsTheDirectoryPart) {
  EXPECT_EQ(ParentDir("/a/b"), "/a");
  EXPECT_EQ(ParentDir("/a//b/"), "/a");
  EXPECT_EQ(ParentDir("/a"), "/");
  EXPECT_EQ(ParentDir("a"), ".");
  EXPECT_EQ(ParentDir("/"), "/");
  EXPECT_EQ(ParentDir(""), ".");
}

}  // namespace
}  // namespace retort::base
