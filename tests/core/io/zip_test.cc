#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/file.h"
#include "core/io/zip_archive.h"
#include "core/io/zip_directory.h"
#include "core/io/zip_writer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/zip_builder.h"

// What data sets need of zip files is in core/data/file_set_test.cc.
namespace retort::io {
namespace {

using ::retort::testing::StatusIs;
using ::retort::testing::ZipBuilder;
using ::testing::HasSubstr;

constexpr auto kBadZip = absl::StatusCode::kInvalidArgument;

class ZipWriterTest : public ::testing::TestWithParam<bool> {
 protected:
  // The file's bytes.
  std::string Write(
      const std::vector<std::pair<std::string, std::string>>& entries) {
    const std::string path = dir_ / "a.zip";
    const auto file = *base::AtomicFileWriter::Create(path);
    ZipWriter zip(file.get(), /*always_64=*/GetParam());
    for (const auto& [name, bytes] : entries) {
      RETORT_CHECK_OK(zip.Add(name, bytes));
    }
    RETORT_CHECK_OK(zip.Finish());
    RETORT_CHECK_OK(file->Commit());
    return *base::ReadFile(path, 1 << 20);
  }

  retort::testing::TempDir dir_;
};

TEST_P(ZipWriterTest, WhatIsWrittenIsRead) {
  const std::string large(1000, 'z');
  const std::string bytes = Write({{"b/two", "22"}, {"a", ""}, {"c", large}});
  RETORT_ASSERT_OK_AND_ASSIGN(const auto entries, ReadZip(bytes));
  const std::map<std::string, absl::string_view> expected = {
      {"b/two", "22"}, {"a", ""}, {"c", large}};
  EXPECT_EQ(entries, expected);
}

TEST_P(ZipWriterTest, EveryEntryBeginsAtAMultipleOf64) {
  std::vector<std::pair<std::string, std::string>> entries;
  for (int i = 1; i < 130; ++i) {
    entries.emplace_back(std::string(i, 'n'), std::string(i * 7, 'x'));
  }
  const std::string bytes = Write(entries);
  RETORT_ASSERT_OK_AND_ASSIGN(const auto read, ReadZip(bytes));
  ASSERT_EQ(read.size(), entries.size());
  for (const auto& [name, data] : read) {
    EXPECT_EQ((data.data() - bytes.data()) % 64, 0) << name;
  }
}

TEST_P(ZipWriterTest, TheSameEntriesGiveTheSameBytes) {
  EXPECT_EQ(Write({{"a", "1"}}), Write({{"a", "1"}}));
}

INSTANTIATE_TEST_SUITE_P(Sizes, ZipWriterTest, ::testing::Bool());

TEST(ReadZipTest, RefusesEntriesThatOverlap) {
  // The second one is said to lie where the first one does.
  const std::string bytes =
      ZipBuilder()
          .Add("a", "1")
          .Add({.name = "a2", .bytes = "1", .claimed_offset = 0})
          .Build();
  EXPECT_THAT(ReadZip(bytes), StatusIs(kBadZip, HasSubstr("a")));
}

TEST(ReadZipTest, RefusesWhatTorchSaveDoesNotWrite) {
  EXPECT_THAT(ReadZip(ZipBuilder().Add("a", "111111111111", true).Build()),
              StatusIs(kBadZip, HasSubstr("is compressed")));
  EXPECT_THAT(ReadZip(ZipBuilder().Add("a", "1").Add("a", "2").Build()),
              StatusIs(kBadZip, HasSubstr("twice")));
  EXPECT_THAT(
      ReadZip(
          ZipBuilder().Add({.name = "a", .bytes = "1", .flags = 1}).Build()),
      StatusIs(kBadZip, HasSubstr("encrypted")));
}

TEST(ReadZipTest, RefusesADamagedByteOfTheDataAndSaysWhose) {
  std::string bytes = ZipBuilder().Add("a", "123456").Build();
  bytes[bytes.find("123456") + 2] ^= 1;
  EXPECT_THAT(ReadZip(bytes), StatusIs(kBadZip, HasSubstr("a has a wrong")));
  EXPECT_TRUE(ReadZip(bytes, /*check_crc=*/false).ok());
}

TEST(ReadZipTest, NamesArePartsOfAMapAndNeverPaths) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const auto entries,
      ReadZip(ZipBuilder().Add("../../etc/passwd", "1").Build()));
  EXPECT_EQ(entries.count("../../etc/passwd"), 1);
}

TEST(ReadZipTest, RefusesNumbersThatLeaveTheFileWhereverTheyStand) {
  const std::string whole =
      ZipBuilder().Use64().Add("a", "one").Add("b", "two").Build();
  for (size_t at = 0; at + 8 <= whole.size(); ++at) {
    std::string bytes = whole;
    bytes.replace(at, 8, 8, '\xff');
    const auto entries = ReadZip(bytes);
    if (!entries.ok()) continue;
    for (const auto& [name, data] : *entries) {
      EXPECT_GE(data.data(), bytes.data());
      EXPECT_LE(data.data() + data.size(), bytes.data() + bytes.size());
    }
  }
}

TEST(ReadZipTest, FindsANameByItsEnd) {
  const std::string bytes =
      ZipBuilder().Add("x/constants.pkl", "123456789012", true).Build();
  EXPECT_TRUE(ZipHasEntry(bytes, "/constants.pkl"));
  EXPECT_FALSE(ZipHasEntry(bytes, "/data.pkl"));
  EXPECT_FALSE(ZipHasEntry("PK\x03\x04", "/data.pkl"));
}

}  // namespace
}  // namespace retort::io
