#include "client/call_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace retort::client {
namespace {

using ::testing::HasSubstr;

grpc::Status WithDetail(grpc::StatusCode code, const std::string& message,
                        const google::protobuf::Message& detail) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  status.add_details()->PackFrom(detail);
  return grpc::Status(code, message, status.SerializeAsString());
}

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

TEST(CallStatusTest, AddsTheFieldsThatTheMessageDoesNotName) {
  google::rpc::BadRequest bad;
  auto* violation = bad.add_field_violations();
  violation->set_field("job.spec.distill.teacher");
  violation->set_description("is required");
  const absl::Status status = FromCall(
      WithDetail(grpc::StatusCode::INVALID_ARGUMENT, "bad spec", bad), "s");
  EXPECT_EQ(Message(status), "bad spec; job.spec.distill.teacher: is required");
  EXPECT_EQ(ExitCodeOf(status), kExitInvalid);
}

TEST(CallStatusTest, GivesEachOfSeveralWrongFieldsALine) {
  google::rpc::BadRequest bad;
  for (const char* field : {"a", "b"}) {
    auto* violation = bad.add_field_violations();
    violation->set_field(field);
    violation->set_description("is\nwrong");
  }
  const auto message = [&](const std::string& text) {
    return Message(FromCall(
        WithDetail(grpc::StatusCode::INVALID_ARGUMENT, text, bad), "s"));
  };
  const std::string lines = "\n  a: is wrong\n  b: is wrong";
  EXPECT_EQ(message("a: is\nwrong; b: is\nwrong"),
            "2 fields are wrong:" + lines);
  EXPECT_EQ(message("bad spec"), "bad spec:" + lines);
}

TEST(CallStatusTest, TellsTheReason) {
  google::rpc::ErrorInfo info;
  info.set_reason("NOT_READY");
  const absl::Status status = FromCall(
      WithDetail(grpc::StatusCode::UNAVAILABLE, "no replica yet", info), "s");
  EXPECT_EQ(ReasonOf(status), "NOT_READY");
  EXPECT_EQ(Message(status), "no replica yet");
}

TEST(CallStatusTest, SaysWhenToTryAgain) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(3);
  EXPECT_THAT(Message(FromCall(WithDetail(grpc::StatusCode::RESOURCE_EXHAUSTED,
                                          "full", retry),
                               "s")),
              HasSubstr("try again in 3s"));
}

TEST(CallStatusTest, SaysWhatIsWrongBetweenTlsAndNoTls) {
  const grpc::Status untrusted(
      grpc::StatusCode::UNAVAILABLE,
      "Ssl handshake failed: certificate verify failed");
  EXPECT_THAT(Message(FromCall(untrusted, "s", true)),
              HasSubstr("a CA that --ca"));
  const grpc::Status plain(grpc::StatusCode::UNAVAILABLE,
                           "Ssl handshake failed: wrong version number");
  EXPECT_THAT(Message(FromCall(plain, "s", true)),
              HasSubstr("leave out --ca and --tls"));
}

TEST(CallStatusTest, SaysHowToReachAServerThatDoesNotAnswer) {
  const absl::Status status = FromCall(
      grpc::Status(grpc::StatusCode::UNAVAILABLE, "refused"), "127.0.0.1:7433");
  EXPECT_THAT(Message(status), HasSubstr("no answer from 127.0.0.1:7433"));
  EXPECT_THAT(Message(status), HasSubstr("--server"));
  EXPECT_EQ(ExitCodeOf(status), kExitUnavailable);
}

TEST(CallStatusTest, KeepsMessagesOnOneLine) {
  EXPECT_EQ(
      Message(FromCall(grpc::Status(grpc::StatusCode::INTERNAL, "a\nb"), "s")),
      "a b");
}

TEST(CallStatusTest, GivesEachKindOfErrorItsExitCode) {
  auto exit_code = [](grpc::StatusCode code) {
    return ExitCodeOf(FromCall(grpc::Status(code, "x"), "s"));
  };
  EXPECT_EQ(exit_code(grpc::StatusCode::OK), kExitOk);
  EXPECT_EQ(exit_code(grpc::StatusCode::NOT_FOUND), kExitNotFound);
  EXPECT_EQ(exit_code(grpc::StatusCode::DEADLINE_EXCEEDED), kExitUnavailable);
  EXPECT_EQ(exit_code(grpc::StatusCode::ALREADY_EXISTS), kExitServerError);
  EXPECT_EQ(ExitCodeOf(UsageError("x")), kExitUsage);
  EXPECT_EQ(ExitCodeOf(SpecError("x")), kExitInvalid);
}

}  // namespace
}  // namespace retort::client
