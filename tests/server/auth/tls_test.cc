#include "server/auth/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/time/clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_ca.h"

namespace retort::auth {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::TestCa;
using ::retort::testing::TestCertificate;
using ::testing::AllOf;
using ::testing::HasSubstr;

class TlsTest : public ::testing::Test {
 protected:
  absl::Status Check(const TlsOptions& options) {
    return CheckTls(options, absl::Now());
  }
  std::string File(const std::string& name, const std::string& text) {
    std::ofstream(dir_ / name) << text;
    return dir_ / name;
  }

  testing::TempDir dir_;
  TestCa ca_{dir_.path(), "ca"};
  TestCertificate server_ = ca_.Issue("server");
};

TEST_F(TlsTest, TakesACertificateWithItsKey) {
  EXPECT_THAT(Check({}), IsOk());
  EXPECT_THAT(Check({server_.cert, server_.key, ""}), IsOk());
  EXPECT_THAT(Check({server_.cert, server_.key, ca_.path()}), IsOk());
}

TEST_F(TlsTest, WantsCertificateAndKeyTogether) {
  EXPECT_THAT(Check({server_.cert, "", ""}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("--tls_key: is missing")));
  EXPECT_THAT(Check({"", server_.key, ""}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("--tls_cert: is missing")));
  EXPECT_THAT(Check({"", "", ca_.path()}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("--tls_client_ca: needs")));
}

TEST_F(TlsTest, NamesAFileThatIsNotThere) {
  EXPECT_THAT(Check({dir_ / "none.pem", server_.key, ""}),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("--tls_cert"), HasSubstr("none.pem"))));
}

TEST_F(TlsTest, NamesAFileThatIsNoPem) {
  const std::string junk = File("junk", "junk");
  EXPECT_THAT(Check({junk, server_.key, ""}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--tls_cert"), HasSubstr("PEM"))));
  EXPECT_THAT(Check({server_.cert, junk, ""}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--tls_key"), HasSubstr("PEM"))));
  EXPECT_THAT(Check({server_.cert, server_.key, junk}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--tls_client_ca"), HasSubstr("PEM"))));
}

TEST_F(TlsTest, RefusesTheKeyOfAnotherCertificate) {
  EXPECT_THAT(
      Check({server_.cert, ca_.Issue("other").key, ""}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not the key")));
}

TEST_F(TlsTest, RefusesACertificateThatHasExpired) {
  const TestCertificate old = ca_.Issue("old", -absl::Hours(1));
  EXPECT_THAT(
      Check({old.cert, old.key, ""}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expired")));
  EXPECT_THAT(
      CheckTls({server_.cert, server_.key, ""}, absl::Now() - absl::Hours(100)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not valid yet")));
}

}  // namespace
}  // namespace retort::auth
