#include "core/base/atomic_file_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "core/base/file.h"
#include "core/base/write_fault.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::base {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::IsOkAndHolds;
using ::retort::testing::StatusIs;
using ::retort::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(AtomicFileWriterTest, ShowsTheFileOnlyAfterCommit) {
  TempDir dir;
  RETORT_ASSERT_OK_AND_ASSIGN(auto writer, AtomicFileWriter::Create(dir / "f"));
  ASSERT_THAT(writer->Append("one "), IsOk());
  ASSERT_THAT(writer->Append("two"), IsOk());
  EXPECT_FALSE(FileExists(dir / "f"));
  ASSERT_THAT(writer->Commit(), IsOk());
  EXPECT_THAT(ReadFile(dir / "f"), IsOkAndHolds("one two"));
  EXPECT_EQ(writer->sha256(), Sha256Hex("one two"));
  EXPECT_EQ(writer->bytes_written(), 7);
}

TEST(AtomicFileWriterTest, LeavesNothingWhenAbandoned) {
  TempDir dir;
  {
    RETORT_ASSERT_OK_AND_ASSIGN(auto writer,
                                AtomicFileWriter::Create(dir / "f"));
    ASSERT_THAT(writer->Append("half"), IsOk());
  }
  EXPECT_THAT(ListDir(dir.path()), IsOkAndHolds(IsEmpty()));
}

TEST(AtomicFileWriterTest, LetsTheLastOfTwoWritersWin) {
  TempDir dir;
  RETORT_ASSERT_OK_AND_ASSIGN(auto a, AtomicFileWriter::Create(dir / "f"));
  RETORT_ASSERT_OK_AND_ASSIGN(auto b, AtomicFileWriter::Create(dir / "f"));
  ASSERT_THAT(a->Append("a"), IsOk());
  ASSERT_THAT(b->Append("b"), IsOk());
  ASSERT_THAT(b->Commit(), IsOk());
  ASSERT_THAT(a->Commit(), IsOk());
  EXPECT_THAT(ReadFile(dir / "f"), IsOkAndHolds("a"));
  EXPECT_THAT(ListDir(dir.path()), IsOkAndHolds(ElementsAre("f")));
}

TEST(AtomicFileWriterTest, KeepsTheOldFileWhenTheDiskFillsUp) {
  TempDir dir;
  ASSERT_THAT(AtomicWriteFile(dir / "f", "old"), IsOk());
  ScopedWriteFault full_disk(/*bytes=*/100, ENOSPC);
  EXPECT_THAT(AtomicWriteFile(dir / "f", std::string(1000, 'n')),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("free space on the disk of " + dir.path())));
  EXPECT_THAT(ReadFile(dir / "f"), IsOkAndHolds("old"));
  EXPECT_THAT(ListDir(dir.path()), IsOkAndHolds(ElementsAre("f")));
}

TEST(AtomicFileWriterTest, WritesAgainOnceThereIsRoom) {
  TempDir dir;
  {
    ScopedWriteFault full_disk(/*bytes=*/0, EDQUOT);
    EXPECT_THAT(AtomicWriteFile(dir / "f", "x"),
                StatusIs(absl::StatusCode::kResourceExhausted));
  }
  EXPECT_THAT(AtomicWriteFile(dir / "f", "x"), IsOk());
}

// The kernel's own refusal, on the real write path.
TEST(AtomicFileWriterTest, KeepsTheOldFileAtAFileSizeLimit) {
  TempDir dir;
  ASSERT_THAT(AtomicWriteFile(dir / "f", "old"), IsOk());
  const auto old_handler = signal(SIGXFSZ, SIG_IGN);
  struct rlimit old_limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const struct rlimit limit = {4096, old_limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status status =
      AtomicWriteFile(dir / "f", std::string(10000, 'n'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  signal(SIGXFSZ, old_handler);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted,
                               HasSubstr("ulimit -f")));
  EXPECT_THAT(ReadFile(dir / "f"), IsOkAndHolds("old"));
}

TEST(AtomicFileWriterTest, NamesAMissingDirectory) {
  TempDir dir;
  EXPECT_THAT(AtomicWriteFile(dir / "no/f", "x"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(dir / "no/f")));
}

TEST(AtomicFileWriterTest, DoesNotReplaceADirectory) {
  TempDir dir;
  EXPECT_THAT(AtomicWriteFile(dir.path(), "x"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("is a directory")));
}

}  // namespace
}  // namespace retort::base
