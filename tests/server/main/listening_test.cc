#include "server/listening.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/http/http_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

TEST(DataDirLockTest, LetsOneServerIn) {
  retort::testing::TempDir dir;
  const std::string path = dir.path() + "/lock";
  {
    DataDirLock first, second;
    EXPECT_THAT(first.Acquire(path), IsOk());
    EXPECT_THAT(second.Acquire(path),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         HasSubstr("--data_dir")));
  }
  DataDirLock third;
  EXPECT_THAT(third.Acquire(path), IsOk());
}

TEST(ProbeAddressTest, SaysThatAPortIsInUse) {
  metrics::ServiceMetrics metrics;
  RETORT_ASSERT_OK_AND_ASSIGN(
      auto server, http::HttpServer::Start("127.0.0.1", 0, &metrics));
  EXPECT_THAT(ProbeAddress({"127.0.0.1", server->port()}, "--listen"),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("Address already in use; choose another "
                                 "address with --listen")));
  EXPECT_THAT(ProbeAddress({"127.0.0.1", 0}, "--listen"), IsOk());
}

TEST(ProbeAddressTest, SaysThatAnAddressIsNotOurs) {
  EXPECT_THAT(ProbeAddress({"203.0.113.7", 1234}, "--listen"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SocketPathTest, IsShortEnoughForASocket) {
  EXPECT_EQ(SocketPathFor("/data/worker.sock"), "/data/worker.sock");
  const std::string long_path = "/" + std::string(200, 'x') + "/worker.sock";
  EXPECT_LT(SocketPathFor(long_path).size(), 100u);
  EXPECT_EQ(SocketPathFor(long_path), SocketPathFor(long_path));
}

}  // namespace
}  // namespace retort
