#include "server/auth/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "server/auth/new_token.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::auth {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsNull;
using ::testing::NotNull;
using ::testing::StartsWith;

std::string Entry(const std::string& name, const std::string& token,
                  const std::string& more = "role: user, projects: [a]") {
  return absl::StrCat("- {name: ", name, ", sha256: \"", base::Sha256Hex(token),
                      "\", ", more, "}\n");
}

void Write(const std::string& path, const std::string& text,
           mode_t mode = 0600) {
  // Another file of that name, as careful editors leave it.
  ASSERT_THAT(base::AtomicWriteFile(path, text), IsOk());
  ASSERT_EQ(::chmod(path.c_str(), mode), 0);
}

TEST(TokenFileTest, LetsATokenDoWhatItsEntrySays) {
  testing::TempDir dir;
  Write(dir / "tokens",
        Entry("alice", "t1", "role: user, projects: [a, b], reads: [c]"));
  RETORT_ASSERT_OK_AND_ASSIGN(auto file, TokenFile::Open(dir / "tokens"));
  const auto alice = file->FindToken("t1");
  ASSERT_THAT(alice, NotNull());
  EXPECT_EQ(alice->name(), "alice");
  EXPECT_TRUE(alice->MayUse("a"));
  EXPECT_TRUE(alice->MayUse("b"));
  EXPECT_FALSE(alice->MayOperate("a"));
  EXPECT_TRUE(alice->MayRead("c"));
  EXPECT_FALSE(alice->MayUse("c"));
  EXPECT_FALSE(alice->MayRead("d"));
}

TEST(TokenFileTest, GivesAnOperatorOfAllTheMachines) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const auto entries,
      ParseTokens(Entry("root", "t", "role: operator, projects: \"*\"") +
                      Entry("head", "u", "role: operator, projects: [a]") +
                      Entry("eye", "v", "role: viewer, projects: \"*\""),
                  "f"));
  EXPECT_TRUE(entries[0].caller->OperatesAll());
  EXPECT_FALSE(entries[1].caller->OperatesAll());
  EXPECT_TRUE(entries[1].caller->MayOperate("a"));
  EXPECT_FALSE(entries[2].caller->OperatesAll());
  EXPECT_TRUE(entries[2].caller->MayRead("anything"));
}

TEST(TokenFileTest, KnowsNoOtherToken) {
  testing::TempDir dir;
  Write(dir / "tokens", Entry("alice", "t1"));
  RETORT_ASSERT_OK_AND_ASSIGN(auto file, TokenFile::Open(dir / "tokens"));
  EXPECT_THAT(file->FindToken("t2"), IsNull());
  EXPECT_THAT(file->FindToken(""), IsNull());
  // The hash is no token.
  EXPECT_THAT(file->FindToken(base::Sha256Hex("t1")), IsNull());
  EXPECT_THAT(file->FindCertificate(""), IsNull());
}

TEST(TokenFileTest, FindsACertificateByItsName) {
  testing::TempDir dir;
  Write(dir / "tokens",
        "- {name: ci, certificate: ci.example.org, role: viewer, "
        "projects: [a]}\n");
  RETORT_ASSERT_OK_AND_ASSIGN(auto file, TokenFile::Open(dir / "tokens"));
  ASSERT_THAT(file->FindCertificate("ci.example.org"), NotNull());
  EXPECT_THAT(file->FindCertificate("ci.example.com"), IsNull());
  EXPECT_THAT(file->FindToken(""), IsNull());
}

TEST(TokenFileTest, RefusesAFileThatOthersMayRead) {
  testing::TempDir dir;
  for (const mode_t mode : {0604, 0620, 0660, 0644}) {
    Write(dir / "tokens", Entry("alice", "t1"), mode);
    EXPECT_THAT(
        TokenFile::Open(dir / "tokens").status(),
        StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("chmod 600")))
        << mode;
  }
}

TEST(TokenFileTest, TakesAChangedFileUp) {
  testing::TempDir dir;
  Write(dir / "tokens", Entry("alice", "t1"));
  RETORT_ASSERT_OK_AND_ASSIGN(auto file, TokenFile::Open(dir / "tokens"));
  Write(dir / "tokens", Entry("bob", "t2"));
  EXPECT_THAT(file->FindToken("t1"), IsNull());
  EXPECT_THAT(file->FindToken("t2"), NotNull());
}

TEST(TokenFileTest, KeepsWhatItHasWhenTheFileGoesWrong) {
  testing::TempDir dir;
  Write(dir / "tokens", Entry("alice", "t1"));
  RETORT_ASSERT_OK_AND_ASSIGN(auto file, TokenFile::Open(dir / "tokens"));
  Write(dir / "tokens", "- {name: [}");
  EXPECT_THAT(file->FindToken("t1"), NotNull());
  Write(dir / "tokens", Entry("bob", "t2"), 0644);
  EXPECT_THAT(file->FindToken("t2"), IsNull());
  ::unlink((dir / "tokens").c_str());
  EXPECT_THAT(file->FindToken("t1"), NotNull());
}

TEST(TokenFileTest, NamesLineAndRemedyOfAWrongEntry) {
  const std::string good = Entry("alice", "t1");
  const struct {
    std::string yaml, expected;
  } cases[] = {
      {"name: alice", "f:1: is not a list"},
      {good + "- 5", "f:2: is no"},
      {good + Entry("bob", "t2", "role: root, projects: [a]"), "no role"},
      {good + Entry("bob", "t2", "role: user, projects: [A b]"), "projects"},
      {good + Entry("bob", "t2", "role: user, projects: a"), "list"},
      {good + Entry("bob", "t2", "role: user"), "needs a projects"},
      {good + Entry("bob", "t2", "projects: [a]"), "needs a role"},
      {good + Entry("bob", "t2", "role: user, projects: [a], x: 1"),
       "unknown field \"x\""},
      {good + "- {name: bob, role: user, projects: [a]}",
       "f:2: an entry has either"},
      {good + "- {name: b, sha256: ABC, role: user, projects: [a]}",
       "64 lower-case hex digits"},
      {good + Entry("\"two words\"", "t2"), "visible"},
      {good + Entry("alice", "t2"), "the name alice is there twice"},
      {good + Entry("bob", "t1"), "twice; keep one"},
      {good + "garbage:\n", "f:"},
      {good + "garbage:\n" + Entry("bob", "t2"), "f:"},
      {good + "---\n" + Entry("bob", "t2"), "does not belong to the list"},
      {"- [", "f:1"},
  };
  for (const auto& one : cases) {
    EXPECT_THAT(
        ParseTokens(one.yaml, "f").status(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(one.expected)))
        << one.yaml;
  }
}

TEST(NewTokenTest, MakesAnEntryThatLetsTheTokenIn) {
  testing::TempDir dir;
  RETORT_ASSERT_OK_AND_ASSIGN(
      const NewToken made,
      MakeToken({.name = "alice", .role = "user", .projects = {"a", "b"}}));
  EXPECT_THAT(made.entry, Not(HasSubstr(made.token)));
  Write(dir / "tokens", made.entry);
  RETORT_ASSERT_OK_AND_ASSIGN(auto file, TokenFile::Open(dir / "tokens"));
  ASSERT_THAT(file->FindToken(made.token), NotNull());
  EXPECT_TRUE(file->FindToken(made.token)->MayUse("b"));
}

TEST(NewTokenTest, MakesADifferentOneEachTime) {
  const TokenWish wish = {.name = "alice", .projects = {"*"}};
  EXPECT_NE(MakeToken(wish)->token, MakeToken(wish)->token);
}

TEST(NewTokenTest, RefusesWhatTheFileCouldNotHold) {
  EXPECT_THAT(MakeToken({.name = "a", .role = "king", .projects = {"a"}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       StartsWith("\"king\" is no role")));
}

TEST(NewTokenTest, WritesAFileOfItsOwnersAlone) {
  testing::TempDir dir;
  ASSERT_THAT(WriteToken(dir / "token", "t"), IsOk());
  struct stat info;
  ASSERT_EQ(::stat((dir / "token").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_THAT(WriteToken(dir / "token", "u"),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("token")));
}

}  // namespace
}  // namespace retort::auth
