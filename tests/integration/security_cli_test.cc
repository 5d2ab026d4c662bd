// Tokens and TLS as a user of the command line meets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/service_process.h"
#include "tests/support/test_ca.h"

namespace retort::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class SecurityCliTest : public ::testing::Test {
 protected:
  ProcessResult Retortd(const std::vector<std::string>& options) {
    std::vector<std::string> argv = {absl::StrCat(RETORT_BIN_DIR, "/retortd")};
    argv.insert(argv.end(), options.begin(), options.end());
    return RunProgram(argv, dir_.path(), ServiceProcess::kPatience);
  }
  // Makes a token, and adds its entry to the tokens file.
  std::string NewToken(const std::string& name, const std::string& role,
                       const std::string& project) {
    const std::string file = dir_ / (name + ".token");
    const ProcessResult made =
        Retortd({"token", "new", "--name", name, "--role", role, "--project",
                 project, "--out", file});
    EXPECT_EQ(made.code, 0) << made.err;
    std::ofstream(tokens_, std::ios::app) << made.out;
    ::chmod(tokens_.c_str(), 0600);
    return file;
  }
  void StartWithTls() {
    service_.AddServerOptions(
        {"--worker_binary=/bin/false", "--tls_cert=" + server_.cert,
         "--tls_key=" + server_.key, "--tokens_file=" + tokens_});
    service_.Start();
  }
  ProcessResult Refused(const std::vector<std::string>& options) {
    std::vector<std::string> all = {"--data_dir=" + dir_ / "other",
                                    "--worker_binary=/bin/false",
                                    "--http_listen=none"};
    all.insert(all.end(), options.begin(), options.end());
    const ProcessResult result = Retortd(all);
    EXPECT_EQ(result.code, 2) << result.err;
    return result;
  }

  TempDir dir_;
  TestCa ca_{dir_.path(), "ca"};
  TestCertificate server_ = ca_.Issue("server");
  const std::string tokens_ = dir_ / "tokens.yaml";
  ServiceProcess service_;
};

TEST_F(SecurityCliTest, ATokenFromRetortdLetsTheCommandLineIn) {
  const std::string alice = NewToken("alice", "viewer", "vision");
  StartWithTls();
  const std::vector<std::string> list = {"jobs",   "list", "--project",
                                         "vision", "--ca", ca_.path()};
  std::vector<std::string> with_token = list;
  with_token.insert(with_token.end(), {"--token-file", alice});
  EXPECT_EQ(service_.Cli(with_token).code, 0);
  const auto error = service_.Error(6, list);
  EXPECT_EQ(error["reason"], "UNAUTHENTICATED");
  EXPECT_THAT(error["message"].get<std::string>(),
              HasSubstr("set RETORT_TOKEN, or --token-file"));
}

TEST_F(SecurityCliTest, AnotherProjectIsRefusedWithTheReason) {
  const std::string alice = NewToken("alice", "viewer", "vision");
  StartWithTls();
  service_.AddCliOptions({"--ca", ca_.path(), "--token-file", alice});
  const auto error =
      service_.Error(6, {"jobs", "get", "x", "--project", "secret"});
  EXPECT_EQ(error["reason"], "PERMISSION_DENIED");
  EXPECT_THAT(
      error["message"].get<std::string>(),
      HasSubstr("alice may not read project secret, but vision (--project)"));
}

TEST_F(SecurityCliTest, AServerOfAnotherCaIsNotTrusted) {
  NewToken("alice", "viewer", "vision");
  StartWithTls();
  TestCa other(dir_.path(), "other-ca");
  EXPECT_EQ(service_.Cli({"jobs", "list", "--ca", other.path()}).code, 5);
  const ProcessResult plain = service_.Cli({"jobs", "list"});
  EXPECT_EQ(plain.code, 5);
  EXPECT_THAT(plain.err, HasSubstr("--ca or --tls"));
}

TEST_F(SecurityCliTest, ATokenGoesToNoOtherMachineInTheClear) {
  const std::string alice = NewToken("alice", "viewer", "vision");
  const ProcessResult result =
      RunProgram({absl::StrCat(RETORT_BIN_DIR, "/retort"), "--server",
                  "192.0.2.1:7433", "--token-file", alice, "jobs", "list"},
                 dir_.path(), ServiceProcess::kPatience);
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("without TLS the token could be read"));
}

TEST_F(SecurityCliTest, ATokenFileThatOthersReadIsRefused) {
  const std::string alice = NewToken("alice", "viewer", "vision");
  ::chmod(alice.c_str(), 0644);
  const ProcessResult result =
      RunProgram({absl::StrCat(RETORT_BIN_DIR, "/retort"), "--token-file",
                  alice, "jobs", "list"},
                 dir_.path(), ServiceProcess::kPatience);
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("chmod 600"));
}

TEST_F(SecurityCliTest, NoServerStartsWithTokensInTheClear) {
  NewToken("alice", "viewer", "vision");
  EXPECT_THAT(
      Refused({"--listen=0.0.0.0:0", "--insecure", "--tokens_file=" + tokens_})
          .err,
      HasSubstr("tokens need TLS"));
}

TEST_F(SecurityCliTest, NoServerStartsWithFilesThatAreWrong) {
  NewToken("alice", "viewer", "vision");
  ::chmod(tokens_.c_str(), 0644);
  EXPECT_THAT(Refused({"--listen=127.0.0.1:0", "--tokens_file=" + tokens_}).err,
              AllOf(HasSubstr("--tokens_file"), HasSubstr("chmod 600")));
  EXPECT_THAT(Refused({"--listen=127.0.0.1:0", "--tls_cert=" + server_.cert,
                       "--tls_key=" + ca_.Issue("other").key})
                  .err,
              AllOf(HasSubstr("--tls_key"), HasSubstr("not the key")));
}

}  // namespace
}  // namespace retort::testing
