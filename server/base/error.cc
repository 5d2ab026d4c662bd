#include "server/base/error.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "google/rpc/error_details.pb.h"

namespace retort::service {
namespace {

constexpr char kReasonPrefix[] = "ERROR_REASON_";

std::string ReasonName(v1::ErrorReason reason) {
  return std::string(
      absl::StripPrefix(v1::ErrorReason_Name(reason), kReasonPrefix));
}

template <typename Message>
void Attach(const char* url, const Message& message, absl::Status* status) {
  status->SetPayload(url, absl::Cord(message.SerializeAsString()));
}

template <typename Message>
std::optional<Message> Detail(const char* url, const absl::Status& status) {
  const auto payload = status.GetPayload(url);
  Message message;
  if (!payload.has_value() || !message.ParseFromString(std::string(*payload))) {
    return std::nullopt;
  }
  return message;
}

}  // namespace

absl::Status Error(absl::StatusCode code, v1::ErrorReason reason,
                   absl::string_view message,
                   const std::map<std::string, std::string>& metadata) {
  absl::Status status(code, message);
  google::rpc::ErrorInfo info;
  info.set_reason(ReasonName(reason));
  info.set_domain(kErrorDomain);
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  Attach(kErrorInfoUrl, info, &status);
  return status;
}

absl::Status NotFound(absl::string_view kind, absl::string_view name) {
  return Error(absl::StatusCode::kNotFound, v1::ERROR_REASON_RESOURCE_NOT_FOUND,
               absl::StrCat("no ", kind, " ", name, "; `retort ", kind,
                            "s list` shows which there are"),
               {{"name", std::string(name)}});
}

absl::Status NotImplemented(absl::string_view what, absl::string_view remedy) {
  return Error(absl::StatusCode::kUnimplemented,
               v1::ERROR_REASON_NOT_IMPLEMENTED,
               absl::StrCat("this build cannot do this yet: ", what,
                            remedy.empty() ? "" : "; ", remedy));
}

absl::Status BadFields(v1::ErrorReason reason,
                       const std::vector<FieldViolation>& violations) {
  std::string message;
  google::rpc::BadRequest details;
  for (const FieldViolation& violation : violations) {
    absl::StrAppend(&message, message.empty() ? "" : "; ", violation.field,
                    ": ", violation.description);
    auto* added = details.add_field_violations();
    added->set_field(violation.field);
    added->set_description(violation.description);
  }
  absl::Status status =
      Error(absl::StatusCode::kInvalidArgument, reason, message);
  Attach(kBadRequestUrl, details, &status);
  return status;
}

absl::Status BadField(absl::string_view field, absl::string_view description) {
  return BadFields(v1::ERROR_REASON_INVALID_ARGUMENT,
                   {{std::string(field), std::string(description)}});
}

absl::Status WithRetryAfter(absl::Status status, absl::Duration delay) {
  if (status.ok()) return status;
  google::rpc::RetryInfo info;
  delay = std::max(delay, absl::ZeroDuration());
  const int64_t nanos = absl::ToInt64Nanoseconds(delay);
  info.mutable_retry_delay()->set_seconds(nanos / 1000000000);
  info.mutable_retry_delay()->set_nanos(
      static_cast<int32_t>(nanos % 1000000000));
  Attach(kRetryInfoUrl, info, &status);
  return status;
}

std::optional<v1::ErrorReason> ReasonOf(const absl::Status& status) {
  const auto info = Detail<google::rpc::ErrorInfo>(kErrorInfoUrl, status);
  v1::ErrorReason reason;
  if (!info.has_value() || info->domain() != kErrorDomain ||
      !v1::ErrorReason_Parse(absl::StrCat(kReasonPrefix, info->reason()),
                             &reason)) {
    return std::nullopt;
  }
  return reason;
}

std::vector<FieldViolation> FieldViolationsOf(const absl::Status& status) {
  std::vector<FieldViolation> violations;
  const auto details = Detail<google::rpc::BadRequest>(kBadRequestUrl, status);
  if (!details.has_value()) return violations;
  for (const auto& violation : details->field_violations()) {
    violations.push_back({violation.field(), violation.description()});
  }
  return violations;
}

std::optional<absl::Duration> RetryAfterOf(const absl::Status& status) {
  const auto info = Detail<google::rpc::RetryInfo>(kRetryInfoUrl, status);
  if (!info.has_value()) return std::nullopt;
  return absl::Seconds(info->retry_delay().seconds()) +
         absl::Nanoseconds(info->retry_delay().nanos());
}

}  // namespace retort::service
