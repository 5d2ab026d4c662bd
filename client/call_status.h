#ifndef RETORT_CLIENT_CALL_STATUS_H_
#define RETORT_CLIENT_CALL_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace retort::client {

// What scripts get; documented in `retort --help` and docs/cli.md.
enum ExitCode {
  kExitOk = 0,
  kExitJobFailed = 1,  // the job watched ended FAILED or CANCELLED
  kExitUsage = 2,
  kExitNotFound = 3,
  kExitInvalid = 4,
  kExitUnavailable = 5,
  kExitServerError = 6,
};

// Turns the server's answer into a status whose message is one line for
// people: what, cause and remedy, a wrong field included; several wrong fields
// follow on lines of their own. `server` is the address that was called, `tls`
// how.
absl::Status FromCall(const grpc::Status& status, const std::string& server,
                      bool tls = false);

// A mistake on the command line or in a local file: exit code 2.
absl::Status UsageError(absl::string_view message);

// A mistake in a specification: exit code 4.
absl::Status SpecError(absl::string_view message);

int ExitCodeOf(const absl::Status& status);

// Name of the reason in ErrorInfo ("SPEC_INVALID"), "" without one.
std::string ReasonOf(const absl::Status& status);

}  // namespace retort::client

#endif  // RETORT_CLIENT_CALL_STATUS_H_
