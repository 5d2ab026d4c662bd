#include "client/call_status.h"

#include <algorithm>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace retort::client {
namespace {

constexpr char kUsageUrl[] = "retort.dev/usage";
constexpr char kReasonUrl[] = "retort.dev/reason";

std::string OneLine(const std::string& text) {
  return absl::StrReplaceAll(text, {{"\n", " "}});
}

// What is wrong with fields: one stands in the line, several below it.
std::string WithViolations(const std::string& message,
                           const google::rpc::BadRequest& bad) {
  const auto& violations = bad.field_violations();
  const auto said = [&](const auto& v) {
    return absl::StrContains(message, v.description());
  };
  const auto unsaid =
      std::find_if_not(violations.begin(), violations.end(), said);
  if (violations.size() > 1) {
    // The message of the service is all of them in a row.
    std::string text =
        unsaid == violations.end()
            ? absl::StrCat(violations.size(), " fields are wrong:")
            : absl::StrCat(OneLine(message), ":");
    for (const auto& v : violations) {
      absl::StrAppend(&text, "\n  ", v.field(), ": ", OneLine(v.description()));
    }
    return text;
  }
  if (unsaid == violations.end()) return OneLine(message);
  return absl::StrCat(OneLine(message), "; ", unsaid->field(), ": ",
                      OneLine(unsaid->description()));
}

// Adds what the details say and the message does not say already.
std::string Describe(const grpc::Status& status,
                     const google::rpc::Status& details, std::string* reason) {
  std::string text = OneLine(status.error_message());
  for (const auto& any : details.details()) {
    google::rpc::BadRequest bad;
    google::rpc::RetryInfo retry;
    google::rpc::ErrorInfo info;
    if (any.UnpackTo(&bad)) {
      text = WithViolations(status.error_message(), bad);
    } else if (any.UnpackTo(&retry)) {
      const double seconds =
          retry.retry_delay().seconds() + retry.retry_delay().nanos() * 1e-9;
      absl::StrAppend(&text, "; try again in ",
                      absl::FormatDuration(absl::Seconds(seconds)));
    } else if (any.UnpackTo(&info)) {
      *reason = info.reason();
    }
  }
  return text;
}

// What a person may try who got no answer but gRPC's `text`.
std::string WhatToTry(const std::string& text, bool tls) {
  if (absl::StrContains(text, "certificate verify failed")) {
    return "its certificate is not of a CA that --ca or the system names, or "
           "not for this address";
  }
  if (absl::StrContains(text, "wrong version number")) {
    return "that server has no TLS: leave out --ca and --tls";
  }
  return absl::StrCat("is retortd running there? --server or RETORT_SERVER ",
                      "names another address",
                      tls ? "" : ", --ca or --tls a server with TLS");
}

}  // namespace

absl::Status FromCall(const grpc::Status& status, const std::string& server,
                      bool tls) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  std::string reason;
  std::string text = Describe(status, details, &reason);
  // Without details an UNAVAILABLE comes from gRPC itself.
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && reason.empty()) {
    text = absl::StrCat("no answer from ", server, " (", text, "); ",
                        WhatToTry(text, tls));
  }
  if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED) {
    absl::StrAppend(&text, "; set RETORT_TOKEN, or --token-file FILE");
  }
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    text = absl::StrCat(text, "; --timeout SECONDS allows more time");
  }
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), text);
  if (!reason.empty()) result.SetPayload(kReasonUrl, absl::Cord(reason));
  return result;
}

absl::Status UsageError(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kUsageUrl, absl::Cord("usage"));
  return status;
}

absl::Status SpecError(absl::string_view message) {
  return absl::InvalidArgumentError(message);
}

int ExitCodeOf(const absl::Status& status) {
  if (status.GetPayload(kUsageUrl).has_value()) return kExitUsage;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kExitInvalid;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnavailable;
    default:
      return kExitServerError;
  }
}

std::string ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kReasonUrl);
  return payload.has_value() ? std::string(*payload) : "";
}

}  // namespace retort::client
