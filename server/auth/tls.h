#ifndef RETORT_SERVER_AUTH_TLS_H_
#define RETORT_SERVER_AUTH_TLS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace grpc {
class ServerCredentials;
}

namespace retort::auth {

// How a port is protected. PEM files.
struct TlsOptions {
  // The server's certificate, with the chain up to its CA if that is not
  // known to callers. Empty: no TLS.
  std::string cert;
  // Its private key, without a passphrase.
  std::string key;
  // CAs of which callers must have a certificate (mTLS). Empty: callers need
  // none.
  std::string client_ca;

  bool enabled() const { return !cert.empty(); }
};

// Reads the files and finds out whether they can serve at `now`.
// InvalidArgument naming the option (--tls_cert, --tls_key, --tls_client_ca)
// and the remedy: one is set without the other, no PEM, a key with a
// passphrase or of another certificate, a certificate that has expired or is
// not valid yet. The errors of reading a file as they are.
absl::Status CheckTls(const TlsOptions& options, absl::Time now);

// Credentials for a port of the server: plain without TLS. The files are
// looked at every ten seconds, and new connections get what is there then; a
// certificate and key that do not match are not taken. Errors as CheckTls.
//
//   builder.AddListeningPort(address, *auth::ServerCredentials(options));
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerCredentials(
    const TlsOptions& options);

}  // namespace retort::auth

#endif  // RETORT_SERVER_AUTH_TLS_H_
