#include "server/auth/listen_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace retort::auth {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

TEST(ListenPolicyTest, TakesAddressesApart) {
  RETORT_ASSERT_OK_AND_ASSIGN(ListenAddress address,
                              ParseListenAddress("127.0.0.1:7433"));
  EXPECT_EQ(address.host, "127.0.0.1");
  EXPECT_EQ(address.port, 7433);
  RETORT_ASSERT_OK_AND_ASSIGN(address, ParseListenAddress("[::1]:0"));
  EXPECT_EQ(address.host, "::1");
  EXPECT_EQ(address.port, 0);
}

TEST(ListenPolicyTest, RefusesOtherForms) {
  for (const char* address : {"", "7433", ":7433", "host", "host:", "host:x",
                              "host:70000", "::1:5", "[]:5"}) {
    EXPECT_THAT(
        ParseListenAddress(address),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("host:port")))
        << address;
  }
}

TEST(ListenPolicyTest, LetsOnlyThisMachineInWithoutTls) {
  for (const char* host : {"127.0.0.1", "127.8.9.1", "::1", "localhost"}) {
    EXPECT_THAT(MayListen({host, 1}, false), IsOk()) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "example.org"}) {
    EXPECT_THAT(
        MayListen({host, 1}, false),
        StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("--insecure")))
        << host;
    EXPECT_THAT(MayListen({host, 1}, true), IsOk()) << host;
    EXPECT_THAT(MayListen({host, 1}, false, /*tls=*/true), IsOk()) << host;
  }
}

}  // namespace
}  // namespace retort::auth
