#include "client/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

#include "client/call_status.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::client {
namespace {

using ::retort::testing::IsOk;
using ::testing::HasSubstr;

constexpr char kLocal[] = "127.0.0.1:7433";
constexpr char kRemote[] = "retort.example.org:7433";

class AccessTest : public ::testing::Test {
 protected:
  std::string File(const std::string& text, mode_t mode = 0600) {
    std::ofstream(dir_ / "file") << text;
    ::chmod((dir_ / "file").c_str(), mode);
    return dir_ / "file";
  }
  static void ExpectUsageError(const AccessOptions& options,
                               const std::string& server,
                               const std::string& text) {
    const absl::Status status = MakeAccess(options, server).status();
    EXPECT_EQ(ExitCodeOf(status), kExitUsage) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  }

  testing::TempDir dir_;
};

TEST_F(AccessTest, SendsNothingWithoutAToken) {
  const auto access = MakeAccess({}, kRemote);
  ASSERT_THAT(access.status(), IsOk());
  EXPECT_EQ(access->authorization, "");
}

TEST_F(AccessTest, TakesTheTokenOfTheFileBeforeThatOfTheEnvironment) {
  AccessOptions options;
  options.token = "environment";
  EXPECT_EQ(MakeAccess(options, kLocal)->authorization, "Bearer environment");
  options.token_file = File("file\n");
  EXPECT_EQ(MakeAccess(options, kLocal)->authorization, "Bearer file");
}

TEST_F(AccessTest, SendsATokenToOtherMachinesWithTlsOnly) {
  AccessOptions options;
  options.token = "t";
  for (const char* server : {kRemote, "10.0.0.1:1", "localhost.example.org:1",
                             "127.example.org:1"}) {
    ExpectUsageError(options, server, "without TLS the token could be read");
  }
  for (const char* server : {kLocal, "localhost:1", "[::1]:1", "unix:/s"}) {
    EXPECT_THAT(MakeAccess(options, server).status(), IsOk()) << server;
  }
  options.tls = true;
  EXPECT_THAT(MakeAccess(options, kRemote).status(), IsOk());
}

TEST_F(AccessTest, SaysWhatIsWrongWithAFile) {
  AccessOptions options;
  options.token_file = dir_ / "none";
  ExpectUsageError(options, kLocal, "--token-file");
  options.token_file = File("t", 0640);
  ExpectUsageError(options, kLocal, "chmod 600");
  options.token_file = File("\n");
  ExpectUsageError(options, kLocal, "is empty");
  options.token_file = File("two words");
  ExpectUsageError(options, kLocal, "no single word");
  options = {};
  options.ca = File("no certificate");
  ExpectUsageError(options, kLocal, "--ca");
  options.ca = File("-----BEGIN PRIVATE KEY-----");
  ExpectUsageError(options, kLocal, "-----BEGIN CERTIFICATE");
  options.ca = dir_ / "none";
  ExpectUsageError(options, kLocal, "--ca");
  options = {};
  options.cert = File("-----BEGIN CERTIFICATE-----");
  ExpectUsageError(options, kLocal, "--cert and --key go together");
}

}  // namespace
}  // namespace retort::client
