#include "server/auth/listen_policy.h"

#include <arpa/inet.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace retort::auth {

absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view address) {
  const size_t colon = address.rfind(':');
  ListenAddress result;
  bool ok = colon != absl::string_view::npos && colon > 0 &&
            absl::SimpleAtoi(address.substr(colon + 1), &result.port) &&
            result.port >= 0 && result.port <= 65535;
  if (ok) {
    result.host = std::string(address.substr(0, colon));
    if (result.host.front() == '[' && result.host.back() == ']') {
      result.host = result.host.substr(1, result.host.size() - 2);
    } else {
      ok = !absl::StrContains(result.host, ':');
    }
  }
  if (!ok || result.host.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", address, "\" is no address to listen on; write ",
                     "host:port, e.g. 127.0.0.1:7433 (port 0: any free one)"));
  }
  return result;
}

bool IsLoopback(const ListenAddress& address) {
  if (address.host == "localhost") return true;
  in_addr v4;
  if (inet_pton(AF_INET, address.host.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24) == 127;
  }
  in6_addr v6;
  return inet_pton(AF_INET6, address.host.c_str(), &v6) == 1 &&
         IN6_IS_ADDR_LOOPBACK(&v6);
}

absl::Status MayListen(const ListenAddress& address, bool insecure, bool tls) {
  if (insecure || tls || IsLoopback(address)) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      "listening on ", address.host, " would let other machines in without ",
      "TLS; give --tls_cert and --tls_key, listen on 127.0.0.1, or say ",
      "--insecure if the network is trusted"));
}

}  // namespace retort::auth
