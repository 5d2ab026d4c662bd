#ifndef RETORT_SERVER_BASE_ERROR_H_
#define RETORT_SERVER_BASE_ERROR_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "retort/v1/common.pb.h"

// Errors as the service's folders make them: an absl::Status with Google's
// standard details (google.rpc.ErrorInfo, BadRequest, RetryInfo) as payloads.
// server/rpc/status.h puts the payloads on the wire.
//
//   return service::Error(absl::StatusCode::kNotFound,
//                         v1::ERROR_REASON_RESOURCE_NOT_FOUND,
//                         absl::StrCat("no job ", name), {{"name", name}});
namespace retort::service {

// `domain` of every ErrorInfo.
inline constexpr char kErrorDomain[] = "retort.dev";

// Type URLs under which the payloads lie in an absl::Status.
inline constexpr char kErrorInfoUrl[] =
    "type.googleapis.com/google.rpc.ErrorInfo";
inline constexpr char kBadRequestUrl[] =
    "type.googleapis.com/google.rpc.BadRequest";
inline constexpr char kRetryInfoUrl[] =
    "type.googleapis.com/google.rpc.RetryInfo";

// Returns a status with `reason` as ErrorInfo. `metadata` is for programs,
// `message` (cause and remedy) for people.
absl::Status Error(absl::StatusCode code, v1::ErrorReason reason,
                   absl::string_view message,
                   const std::map<std::string, std::string>& metadata = {});

// NOT_FOUND with RESOURCE_NOT_FOUND for a job, model or deployment: "no job
// projects/p/jobs/j; `retort jobs list` shows which there are".
absl::Status NotFound(absl::string_view kind, absl::string_view name);

// UNIMPLEMENTED with NOT_IMPLEMENTED. `what` is a noun phrase: "LPIPS".
absl::Status NotImplemented(absl::string_view what,
                            absl::string_view remedy = "");

// One wrong field of a request, with cause and remedy.
struct FieldViolation {
  std::string field;  // "job.spec.distill.teacher"
  std::string description;
};

// INVALID_ARGUMENT with `reason` and a BadRequest that lists `violations`
// (at least one); the message repeats them for people.
absl::Status BadFields(v1::ErrorReason reason,
                       const std::vector<FieldViolation>& violations);

// As BadFields for one field of a plain request, with INVALID_ARGUMENT.
absl::Status BadField(absl::string_view field, absl::string_view description);

// Adds RetryInfo: the caller may try again after `delay`.
absl::Status WithRetryAfter(absl::Status status, absl::Duration delay);

// Reads the details back.
std::optional<v1::ErrorReason> ReasonOf(const absl::Status& status);
std::vector<FieldViolation> FieldViolationsOf(const absl::Status& status);
std::optional<absl::Duration> RetryAfterOf(const absl::Status& status);

}  // namespace retort::service

#endif  // RETORT_SERVER_BASE_ERROR_H_
