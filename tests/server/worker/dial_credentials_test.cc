#include "server/worker/dial_credentials.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "retort/internal/v1/worker.grpc.pb.h"
#include "server/auth/tls.h"
#include "tests/support/call_by_name.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_ca.h"

namespace retort::worker {
namespace {

using ::retort::testing::TestCertificate;

class DialCredentialsTest : public ::testing::Test {
 protected:
  ~DialCredentialsTest() override {
    for (const char* variable :
         {"RETORT_WORKER_CA", "RETORT_WORKER_CERT", "RETORT_WORKER_KEY"}) {
      ::unsetenv(variable);
    }
  }

  // A server with TLS on a free port; with `client_ca`, mutual.
  void Serve(const std::string& client_ca) {
    const TestCertificate own = ca_.Issue("server");
    ServeOn("127.0.0.1:0",
            *auth::ServerCredentials({own.cert, own.key, client_ca}));
  }
  void ServeOn(const std::string& address,
               const std::shared_ptr<grpc::ServerCredentials>& credentials) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, credentials, &port_);
    // gRPC starts no server for its health service alone.
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    grpc::EnableDefaultHealthCheckService(false);
    ASSERT_NE(server_, nullptr);
  }
  bool Reaches(const std::string& target) {
    google::protobuf::Empty response;
    return testing::CallByName(
               grpc::CreateChannel(target, DialCredentials(target)),
               "/grpc.health.v1.Health/Check", {}, &response)
        .ok();
  }
  bool Reaches() { return Reaches(absl::StrCat("127.0.0.1:", port_)); }

  testing::TempDir dir_;
  testing::TestCa ca_{dir_.path(), "ca"};
  int port_ = 0;
  internal::v1::WorkerService::CallbackService service_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(DialCredentialsTest, TrustsTheCaOfTheEnvironment) {
  Serve("");
  EXPECT_FALSE(Reaches()) << "in the clear";
  ::setenv("RETORT_WORKER_CA", ca_.path().c_str(), 1);
  EXPECT_TRUE(Reaches());
}

TEST_F(DialCredentialsTest, TrustsNobodyElse) {
  Serve("");
  testing::TestCa other(dir_.path(), "other");
  ::setenv("RETORT_WORKER_CA", other.path().c_str(), 1);
  EXPECT_FALSE(Reaches());
  ::setenv("RETORT_WORKER_CA", (dir_ / "none").c_str(), 1);
  EXPECT_FALSE(Reaches());
}

TEST_F(DialCredentialsTest, ShowsItsOwnCertificate) {
  Serve(ca_.path());
  const TestCertificate own = ca_.Issue("worker");
  ::setenv("RETORT_WORKER_CA", ca_.path().c_str(), 1);
  EXPECT_FALSE(Reaches()) << "without a certificate";
  ::setenv("RETORT_WORKER_CERT", own.cert.c_str(), 1);
  ::setenv("RETORT_WORKER_KEY", own.key.c_str(), 1);
  EXPECT_TRUE(Reaches());
}

TEST_F(DialCredentialsTest, DialsAUnixSocketInTheClear) {
  ::setenv("RETORT_WORKER_CA", ca_.path().c_str(), 1);
  const std::string target = absl::StrCat("unix:", dir_ / "socket");
  ServeOn(target, grpc::InsecureServerCredentials());
  EXPECT_TRUE(Reaches(target));
}

}  // namespace
}  // namespace retort::worker
