// retortd that cannot start says why, and what to do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "tests/support/service_process.h"

namespace retort::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class StartErrorsTest : public ::testing::Test {
 protected:
  static constexpr char kAnyPort[] = "--listen=127.0.0.1:0";

  // Runs a retortd that is not expected to start.
  ProcessResult RunSecond(const std::vector<std::string>& options) {
    return RunOn(dir_ / "data", options);
  }
  ProcessResult RunOn(const std::string& data_dir,
                      const std::vector<std::string>& options) {
    std::vector<std::string> argv = {absl::StrCat(RETORT_BIN_DIR, "/retortd"),
                                     "--data_dir=" + data_dir};
    argv.insert(argv.end(), options.begin(), options.end());
    return RunProgram(argv, dir_.path(), ServiceProcess::kPatience);
  }

  TempDir dir_;
  ServiceProcess service_;
};

TEST_F(StartErrorsTest, PortInUseIsNamedWithTheFlag) {
  service_.Start();
  const ProcessResult second =
      RunSecond({"--listen=" + service_.grpc_address(), "--http_listen=none"});
  EXPECT_EQ(second.code, 2);
  const std::string in_use = absl::StrCat(
      "cannot listen on ", service_.grpc_address(), ": Address already in use");
  EXPECT_THAT(second.err,
              AllOf(HasSubstr(in_use),
                    HasSubstr("choose another address with --listen (port 0")));
  const ProcessResult http =
      RunSecond({kAnyPort, "--http_listen=" + service_.grpc_address()});
  EXPECT_EQ(http.code, 2);
  EXPECT_THAT(
      http.err,
      AllOf(HasSubstr(in_use),
            HasSubstr("choose another address with --http_listen (port 0")));
  EXPECT_FALSE(base::FileExists(dir_ / "data")) << "nothing is left of them";
  EXPECT_EQ(service_.Cli({"jobs", "list"}).code, 0) << "the first one goes on";
}

TEST_F(StartErrorsTest, WrongFlagIsNamedWithWhereToLook) {
  const ProcessResult unknown = RunSecond({"--lisen=127.0.0.1:0"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, AllOf(StartsWith("retortd: "), HasSubstr("--lisen"),
                                 HasSubstr("; see retortd --help\n")));
  const ProcessResult help = RunSecond({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("--listen"));
}

TEST_F(StartErrorsTest, DataDirectoryInUseIsNamed) {
  service_.Start();
  // Started twice, it has the ports of the first one as well.
  const ProcessResult second =
      RunOn(service_.data_dir(),
            {"--listen=" + service_.grpc_address(), "--http_listen=none"});
  EXPECT_EQ(second.code, 2);
  EXPECT_THAT(second.err,
              AllOf(HasSubstr("another retortd uses " + service_.data_dir()),
                    HasSubstr("stop it, or choose another folder with "
                              "--data_dir")));
  EXPECT_EQ(service_.Cli({"jobs", "list"}).code, 0) << "the first one goes on";
}

TEST_F(StartErrorsTest, AddressThatOthersReachNeedsAnExplicitWord) {
  const ProcessResult open =
      RunSecond({"--listen=0.0.0.0:0", "--http_listen=none"});
  EXPECT_EQ(open.code, 2);
  EXPECT_THAT(open.err,
              AllOf(HasSubstr("listening on 0.0.0.0 would let other machines "
                              "in without TLS"),
                    HasSubstr("listen on 127.0.0.1, or say --insecure")));
}

TEST_F(StartErrorsTest, MissingWorkerIsNamed) {
  const ProcessResult missing = RunSecond(
      {kAnyPort, "--http_listen=none", "--worker_binary=/nowhere/worker"});
  EXPECT_EQ(missing.code, 2);
  EXPECT_THAT(missing.err,
              AllOf(HasSubstr("--worker_binary: /nowhere/worker is no program"),
                    HasSubstr("build retort-worker, or say where it is")));
}

TEST_F(StartErrorsTest, UnknownOptionInTheConfigurationIsNamed) {
  const std::string path = dir_ / "retortd.yaml";
  std::ofstream(path) << "listen: 127.0.0.1:0\ncpu_slotz: 3\n";
  const ProcessResult unknown = RunSecond({"--config=" + path});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err,
              AllOf(HasSubstr(path + ":2: unknown option \"cpu_slotz\""),
                    HasSubstr("; options are "), HasSubstr(" cpu_slots, ")));
}

TEST_F(StartErrorsTest, DamagedDatabaseIsNamed) {
  service_.Start();
  ASSERT_EQ(service_.Stop(), 0);
  std::ofstream(service_.data_dir() + "/retort.db", std::ios::trunc)
      << "this is no database, whatever its name says";
  const ProcessResult damaged =
      RunOn(service_.data_dir(), {kAnyPort, "--http_listen=none"});
  EXPECT_EQ(damaged.code, 2);
  EXPECT_THAT(damaged.err,
              AllOf(HasSubstr("not a database"),
                    HasSubstr(absl::StrCat("restore ", service_.data_dir(),
                                           "/retort.db from a backup"))));
}

TEST_F(StartErrorsTest, FolderThatCannotBeMadeIsNamed) {
  std::ofstream(dir_ / "file") << "not a folder";
  const ProcessResult blocked =
      RunOn((dir_ / "file") + "/data", {kAnyPort, "--http_listen=none"});
  EXPECT_EQ(blocked.code, 2);
  EXPECT_THAT(blocked.err,
              AllOf(HasSubstr("creating directory " + (dir_ / "file") +
                              ": Not a directory"),
                    HasSubstr("--data_dir names another folder")));
}

}  // namespace
}  // namespace retort::testing
