#include "core/base/link_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "core/base/file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::base {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

class LinkTreeTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& bytes) {
    ASSERT_THAT(MakeDirs(ParentDir(dir_ / path)), IsOk());
    ASSERT_THAT(AtomicWriteFile(dir_ / path, bytes), IsOk());
  }
  std::string Read(const std::string& path) {
    return ReadFile(dir_ / path).value_or("none");
  }

  retort::testing::TempDir dir_;
};

TEST_F(LinkTreeTest, HoldsTheSameFilesWithoutTakingRoomTwice) {
  Write("a/one", "1");
  Write("a/below/two", "2");
  ASSERT_THAT(LinkTree(dir_ / "a", dir_ / "b"), IsOk());
  EXPECT_EQ(Read("b/one"), "1");
  EXPECT_EQ(Read("b/below/two"), "2");
  EXPECT_EQ(std::filesystem::hard_link_count(dir_ / "b/one"), 2u);
}

TEST_F(LinkTreeTest, StaysWhenTheFirstOneIsRemoved) {
  Write("a/one", "1");
  ASSERT_THAT(LinkTree(dir_ / "a", dir_ / "b"), IsOk());
  ASSERT_THAT(RemoveTree(dir_ / "a"), IsOk());
  EXPECT_EQ(Read("b/one"), "1");
}

TEST_F(LinkTreeTest, SaysThatThereIsNothingToLink) {
  EXPECT_THAT(LinkTree(dir_ / "a", dir_ / "b"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/a")));
}

TEST_F(LinkTreeTest, FollowsNoSymbolicLinks) {
  Write("a/one", "1");
  std::filesystem::create_symlink("/etc/passwd", dir_ / "a/two");
  EXPECT_THAT(LinkTree(dir_ / "a", dir_ / "b"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("two")));
}

TEST_F(LinkTreeTest, CopiesToAnotherFileSystem) {
  // /dev/shm is a file system of its own; where it is not, links do.
  struct stat here, there;
  if (::stat(dir_.path().c_str(), &here) != 0 ||
      ::stat("/dev/shm", &there) != 0 || here.st_dev == there.st_dev) {
    GTEST_SKIP() << "no other file system at /dev/shm";
  }
  Write("a/one", std::string(9 << 20, 'x'));
  const std::string other =
      "/dev/shm/retort_link_tree_" +
      std::filesystem::path(dir_.path()).filename().string();
  EXPECT_THAT(LinkTree(dir_ / "a", other), IsOk());
  EXPECT_EQ(ReadFile(other + "/one").value_or(""), std::string(9 << 20, 'x'));
  EXPECT_THAT(RemoveTree(other), IsOk());
}

}  // namespace
}  // namespace retort::base
