#include "core/data/file_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/zip_builder.h"

namespace retort::data {
namespace {

using ::retort::testing::StatusIs;
using ::retort::testing::ZipBuilder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ZipTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<FileSet>> Open(const std::string& bytes) {
    const std::string path = dir_ / "a.zip";
    std::ofstream(path, std::ios::binary) << bytes;
    return OpenZip(path);
  }
  // What reading the only file of an archive gives.
  absl::StatusOr<std::string> ReadOne(const ZipBuilder::File& file) {
    auto zip = Open(ZipBuilder().Add(file).Build());
    if (!zip.ok()) return zip.status();
    return (*zip)->Read(0, 1000);
  }

  retort::testing::TempDir dir_;
};

std::vector<std::string> Names(const FileSet& files) {
  std::vector<std::string> names;
  for (const FileEntry& entry : files.entries()) names.push_back(entry.name);
  return names;
}

TEST_F(ZipTest, ListsFilesByNameAndReadsStoredAndDeflatedOnes) {
  const std::string text(500, 'z');
  RETORT_ASSERT_OK_AND_ASSIGN(const auto zip, Open(ZipBuilder()
                                                       .Add("b/2", "two")
                                                       .Add("b/", "")
                                                       .Add("B", text, true)
                                                       .Add("b/10", "ten")
                                                       .Build()));
  EXPECT_THAT(Names(*zip), ElementsAre("B", "b/10", "b/2"));
  EXPECT_EQ(*zip->Read(0, 1000), text);
  EXPECT_EQ(*zip->Read(2, 1000), "two");
  EXPECT_EQ(zip->Find("b/10"), 1);
  EXPECT_EQ(zip->Find("b"), -1);
}

TEST_F(ZipTest, ReadsThe64BitExtensions) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const auto zip,
      Open(ZipBuilder().Use64().Add("a", "one").Add("b", "two", true).Build()));
  EXPECT_THAT(Names(*zip), ElementsAre("a", "b"));
  EXPECT_EQ(*zip->Read(1, 1000), "two");
}

TEST_F(ZipTest, ACutOffArchiveIsDataLossWhereverItIsCut) {
  const std::string whole = ZipBuilder().Use64().Add("a", "one").Build();
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_THAT(Open(whole.substr(0, bytes)),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("a.zip")))
        << bytes;
  }
}

TEST_F(ZipTest, AnArchiveWithAnyByteChangedNeverCrashes) {
  const std::string whole =
      ZipBuilder().Use64().Add("a", "one").Add("b", "twotwo", true).Build();
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string bytes = whole;
      bytes[at] ^= flip;
      const auto zip = Open(bytes);
      if (!zip.ok()) continue;
      for (size_t i = 0; i < (*zip)->entries().size(); ++i) {
        const auto file = (*zip)->Read(i, 1000);
        if (file.ok()) {
          EXPECT_THAT(*file, ::testing::AnyOf("one", "twotwo"));
        }
      }
    }
  }
}

TEST_F(ZipTest, RefusesAFileLargerThanAskedBeforeAnythingIsAllocated) {
  EXPECT_THAT(
      ReadOne({.name = "bomb", .bytes = "x", .claimed_size = 0xfffffff0}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("bomb"), HasSubstr("at most 1000"))));
}

TEST_F(ZipTest, RefusesSizesThatCannotBe) {
  EXPECT_THAT(ReadOne({.name = "short", .bytes = "abc", .claimed_size = 2}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("short")));
  EXPECT_THAT(ReadOne({.name = "long",
                       .bytes = std::string(300, 'a'),
                       .deflate = true,
                       .claimed_size = 299}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("decompress")));
}

TEST_F(ZipTest, RefusesWhatItCannotRead) {
  EXPECT_THAT(ReadOne({.name = "e", .bytes = "x", .flags = 1}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("encrypted")));
  EXPECT_THAT(ReadOne({.name = "m", .bytes = "x", .method = 93}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("method 93")));
  EXPECT_THAT(ReadOne({.name = "c", .bytes = "x", .bad_crc = true}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("checksum")));
  EXPECT_THAT(ReadOne({.name = "o", .bytes = "x", .claimed_offset = 7}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("offset 7")));
}

TEST_F(ZipTest, RefusesANameThatIsThereTwice) {
  EXPECT_THAT(Open(ZipBuilder().Add("a", "1").Add("a", "2").Build()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("a twice")));
}

TEST(FolderTest, ListsAllLevelsButFollowsNoLinksToFolders) {
  retort::testing::TempDir dir;
  std::filesystem::create_directories(dir / "x/y");
  std::ofstream(dir / "x/y/one") << "1";
  std::ofstream(dir / "x.two") << "22";
  std::filesystem::create_directory_symlink(dir.path(), dir / "loop");
  RETORT_ASSERT_OK_AND_ASSIGN(const auto files, OpenFolder(dir.path()));
  EXPECT_THAT(Names(*files), ElementsAre("x.two", "x/y/one"));
  EXPECT_EQ(*files->Read(0, 10), "22");
  EXPECT_EQ(files->entries()[0].size, 2);
}

TEST(FolderTest, SaysSoIfAFileChangesUnderway) {
  retort::testing::TempDir dir;
  std::ofstream(dir / "one") << "1";
  RETORT_ASSERT_OK_AND_ASSIGN(const auto files, OpenFolder(dir.path()));
  std::ofstream(dir / "one") << "11";
  EXPECT_THAT(files->Read(0, 10), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace retort::data
