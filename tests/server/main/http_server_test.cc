#include "server/http/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/status_matchers.h"

namespace retort::http {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Sends GET `path` and returns all that comes back.
std::string Get(int port, const std::string& path) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(
      ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::string request =
      "GET " + path + " HTTP/1.0\r\nHost: localhost\r\n\r\n";
  EXPECT_EQ(::write(fd, request.data(), request.size()),
            static_cast<ssize_t>(request.size()));
  std::string response;
  char buffer[4096];
  ssize_t count;
  while ((count = ::read(fd, buffer, sizeof(buffer))) > 0) {
    response.append(buffer, static_cast<size_t>(count));
  }
  ::close(fd);
  return response;
}

class HttpServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = HttpServer::Start("127.0.0.1", 0, &metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  metrics::ServiceMetrics metrics_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ShowsTheMetricsInPrometheusForm) {
  metrics_.SetJobs("running", 3);
  metrics_.CountRpc("JobService/GetJob", "OK", absl::Milliseconds(2));
  const std::string response = Get(server_->port(), "/metrics");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(response, HasSubstr("retort_jobs{state=\"running\"} 3"));
  EXPECT_THAT(response, HasSubstr("retort_rpc_total"));
}

TEST_F(HttpServerTest, IsHealthyOnceToldSo) {
  EXPECT_THAT(Get(server_->port(), "/healthz"), StartsWith("HTTP/1.1 503"));
  server_->SetHealthy(true);
  EXPECT_THAT(Get(server_->port(), "/healthz"), HasSubstr("ok"));
}

TEST_F(HttpServerTest, KnowsNothingElse) {
  EXPECT_THAT(Get(server_->port(), "/etc/passwd"), HasSubstr(" 404 "));
}

TEST_F(HttpServerTest, SaysThatAPortIsInUse) {
  EXPECT_THAT(
      HttpServer::Start("127.0.0.1", server_->port(), &metrics_),
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr("--http_listen")));
}

}  // namespace
}  // namespace retort::http
