#ifndef RETORT_CLIENT_ACCESS_H_
#define RETORT_CLIENT_ACCESS_H_

#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace retort::client {

// How the server is proved to be the right one, and the caller to be allowed.
struct AccessOptions {
  // TLS with the system's CAs. Any of the three files below means TLS too.
  bool tls = false;
  // PEM files: CAs for the server's certificate; the caller's own certificate
  // and key, for servers that want one.
  std::string ca;
  std::string cert;
  std::string key;
  // File with the token, readable by its owner alone. Goes before `token`.
  std::string token_file;
  // The token itself, from RETORT_TOKEN: never from the command line, where
  // other users see it.
  std::string token;

  bool uses_tls() const {
    return tls || !ca.empty() || !cert.empty() || !key.empty();
  }
};

// What a channel and each call need.
struct Access {
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  // Of the metadata `authorization`; empty without a token.
  std::string authorization;
};

// Errors of usage (UsageError): a file that cannot be read or has not the form
// it must have, a certificate without its key, a token that would go over a
// network without TLS. `server` is the address that will be called.
absl::StatusOr<Access> MakeAccess(const AccessOptions& options,
                                  const std::string& server);

}  // namespace retort::client

#endif  // RETORT_CLIENT_ACCESS_H_
