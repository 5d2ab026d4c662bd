#ifndef RETORT_SERVER_AUTH_LISTEN_POLICY_H_
#define RETORT_SERVER_AUTH_LISTEN_POLICY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace retort::auth {

// "host:port" or "[v6]:port", taken apart.
struct ListenAddress {
  std::string host;
  int port = 0;
};

// InvalidArgument, with the form expected, for anything else.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view address);

// True for addresses that only this machine can reach: 127.0.0.0/8, ::1 and
// "localhost".
bool IsLoopback(const ListenAddress& address);

// Whether the service may listen there: on the loopback, or anywhere with
// `tls` or if told to be `insecure`. PermissionDenied, with the remedy, if not.
absl::Status MayListen(const ListenAddress& address, bool insecure,
                       bool tls = false);

}  // namespace retort::auth

#endif  // RETORT_SERVER_AUTH_LISTEN_POLICY_H_
