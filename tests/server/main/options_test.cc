#include "server/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/status_matchers.h"

namespace retort {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(ServerOptionsTest, ReadBackWhatTheyWrite) {
  ServerOptions options;
  options.data_dir = "/data";
  options.listen = "127.0.0.1:1";
  options.http_listen = "";
  options.executor = "slurm";
  options.worker_listen = "127.0.0.1:2";
  options.worker_address = "head:2";
  options.slurm_bin = "/usr/bin";
  options.cpu_slots = 7;
  options.tls = {"c", "k", "ca"};
  options.tokens_file = "t";
  options.insecure = true;
  options.http_insecure = true;
  options.gpus = 3;
  options.lease = 1.5;
  ServerOptions again;
  ASSERT_THAT(ApplyYaml(options.ToYaml(), "x.yaml", &again), IsOk());
  EXPECT_EQ(again.ToYaml(), options.ToYaml());
}

TEST(ServerOptionsTest, SayWhereAFileIsWrong) {
  ServerOptions options;
  EXPECT_THAT(ApplyYaml("listen: x\nlisten_to: y\n", "x.yaml", &options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("x.yaml:2: unknown option \"listen_to\"")));
  EXPECT_THAT(ApplyYaml("cpu_slots: many\n", "x.yaml", &options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("x.yaml:1: the value of \"cpu_slots\"")));
  EXPECT_THAT(
      ApplyYaml("[1, 2", "x.yaml", &options),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is no YAML")));
}

TEST(ServerOptionsTest, LetOthersInWithTls) {
  ServerOptions options;
  options.listen = "0.0.0.0:7433";
  options.tls = {"cert.pem", "key.pem", ""};
  EXPECT_THAT(options.Validate(), IsOk());
  options.tls.key.clear();
  EXPECT_THAT(options.Validate(), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("go together")));
}

TEST(ServerOptionsTest, SendNoTokensInTheClear) {
  ServerOptions options;
  options.tokens_file = "tokens.yaml";
  EXPECT_THAT(options.Validate(), IsOk()) << "on the loopback";
  options.listen = "0.0.0.0:7433";
  options.insecure = true;
  EXPECT_THAT(options.Validate(), StatusIs(absl::StatusCode::kPermissionDenied,
                                           HasSubstr("tokens need TLS")));
  options.tls = {"cert.pem", "key.pem", ""};
  EXPECT_THAT(options.Validate(), IsOk());
}

TEST(ServerOptionsTest, ShowMetricsToOthersOnlyIfTold) {
  ServerOptions options;
  options.http_listen = "0.0.0.0:7434";
  options.tls = {"cert.pem", "key.pem", ""};
  EXPECT_THAT(options.Validate(), StatusIs(absl::StatusCode::kPermissionDenied,
                                           HasSubstr("--http_insecure")));
  options.http_insecure = true;
  EXPECT_THAT(options.Validate(), IsOk());
}

TEST(ServerOptionsTest, ResolveWhatDependsOnTheMachine) {
  ServerOptions options;
  options.data_dir = "relative/";
  options.http_listen = "none";
  ASSERT_THAT(options.Resolve("retortd"), IsOk());
  EXPECT_EQ(options.data_dir.front(), '/');
  EXPECT_NE(options.data_dir.back(), '/');
  EXPECT_GE(options.cpu_slots, 1);
  EXPECT_GE(options.gpus, 0);
  EXPECT_THAT(options.worker_binary, HasSubstr("/retort-worker"));
  EXPECT_EQ(options.http_listen, "");
}

TEST(ServerOptionsTest, NameTheFlagThatIsWrong) {
  ServerOptions options;
  options.listen = "0.0.0.0:7433";
  EXPECT_THAT(options.Validate(), StatusIs(absl::StatusCode::kPermissionDenied,
                                           HasSubstr("--listen: ")));
  options = ServerOptions();
  options.hang_timeout = 0;
  EXPECT_THAT(options.Validate(), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("--hang_timeout: ")));
  options = ServerOptions();
  options.http_listen = "nonsense";
  EXPECT_THAT(options.Validate(), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("--http_listen: ")));
  options = ServerOptions();
  options.cpu_slots = -1;
  EXPECT_THAT(options.Validate(), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("--cpu_slots")));
}

TEST(ServerOptionsTest, TellNodesThisMachinesNameIfAllAddressesAreServed) {
  ServerOptions options;
  options.data_dir = "/data";
  options.executor = "slurm";
  options.worker_listen = "0.0.0.0:7435";
  options.insecure = true;
  ASSERT_THAT(options.Resolve("retortd"), IsOk());
  EXPECT_THAT(options.worker_address, ::testing::EndsWith(":7435"));
  EXPECT_THAT(options.worker_address, Not(HasSubstr("0.0.0.0")));
}

TEST(ServerOptionsTest, WantAWorkerPortThatStays) {
  ServerOptions options;
  options.executor = "slurm";
  options.worker_listen = "127.0.0.1:0";
  EXPECT_THAT(options.Resolve("retortd"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("--worker_listen: needs a port")));
}

TEST(ServerOptionsTest, SendNoWorkersTokensInTheClear) {
  ServerOptions options;
  options.executor = "slurm";
  options.worker_listen = "0.0.0.0:7435";
  EXPECT_THAT(options.Resolve("retortd"),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       HasSubstr("--worker_listen")));
}

TEST(ServerOptionsTest, DoubtMoreGpusThanThereAre) {
  ASSERT_EQ(setenv("CUDA_VISIBLE_DEVICES", "0,1", 1), 0);
  ServerOptions options;
  options.gpus = 2;
  EXPECT_THAT(options.Doubts(), IsEmpty());
  options.gpus = 4;
  EXPECT_THAT(options.Doubts(),
              ElementsAre(HasSubstr("--gpus: is 4, but this machine shows 2")));
  ASSERT_EQ(setenv("CUDA_VISIBLE_DEVICES", "", 1), 0);
  EXPECT_THAT(options.Doubts(), ElementsAre(HasSubstr("shows none")));
  // The nodes have what they have.
  options.executor = "slurm";
  EXPECT_THAT(options.Doubts(), IsEmpty());
  ASSERT_EQ(unsetenv("CUDA_VISIBLE_DEVICES"), 0);
}

TEST(ServerOptionsTest, NameTheExecutorsThereAre) {
  ServerOptions options;
  options.executor = "kubernetes";
  EXPECT_THAT(options.Validate(), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("choose local or slurm")));
}

}  // namespace
}  // namespace retort
