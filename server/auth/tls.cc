#include "server/auth/tls.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace retort::auth {
namespace {

constexpr int64_t kMaxPemBytes = 1 << 20;
constexpr unsigned kRefreshSeconds = 10;

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* cert) const { X509_free(cert); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

absl::Status Wrong(const char* option, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--", option, ": ", what));
}

absl::StatusOr<Owned<BIO>> ReadPem(const char* option, const std::string& path,
                                   std::string* bytes) {
  auto read = base::ReadFile(path, kMaxPemBytes);
  if (!read.ok()) {
    return absl::Status(
        read.status().code(),
        absl::StrCat("--", option, ": ", read.status().message()));
  }
  *bytes = *std::move(read);
  return Owned<BIO>(
      BIO_new_mem_buf(bytes->data(), static_cast<int>(bytes->size())));
}

// Of the first certificate in the file, which must be valid at `now`.
absl::StatusOr<Owned<X509>> ReadCertificate(const char* option,
                                            const std::string& path,
                                            absl::Time now) {
  std::string bytes;
  RETORT_ASSIGN_OR_RETURN(Owned<BIO> bio, ReadPem(option, path, &bytes));
  Owned<X509> cert(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (cert == nullptr) {
    return Wrong(option, absl::StrCat(path, " is no certificate in PEM form ",
                                      "(-----BEGIN CERTIFICATE-----)"));
  }
  time_t at = absl::ToTimeT(now);
  if (X509_cmp_time(X509_get0_notAfter(cert.get()), &at) < 0) {
    return Wrong(option, absl::StrCat("the certificate in ", path,
                                      " has expired; put a new one there"));
  }
  if (X509_cmp_time(X509_get0_notBefore(cert.get()), &at) > 0) {
    return Wrong(option, absl::StrCat("the certificate in ", path,
                                      " is not valid yet; is this machine's ",
                                      "clock right?"));
  }
  return cert;
}

// Answers that there is no passphrase, where OpenSSL would ask the terminal.
int NoPassphrase(char*, int, int, void*) { return 0; }

absl::Status CheckKey(const TlsOptions& options, X509* cert) {
  std::string bytes;
  RETORT_ASSIGN_OR_RETURN(Owned<BIO> bio,
                          ReadPem("tls_key", options.key, &bytes));
  Owned<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) {
    return Wrong("tls_key",
                 absl::StrCat(options.key, " is no private key in PEM form, ",
                              "or has a passphrase; `openssl pkey -in FILE` ",
                              "takes it off"));
  }
  if (X509_check_private_key(cert, key.get()) != 1) {
    return Wrong(
        "tls_key",
        absl::StrCat(options.key, " is not the key of the ", "certificate in ",
                     options.cert, "; give the two that were made together"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTls(const TlsOptions& options, absl::Time now) {
  if (options.cert.empty() != options.key.empty()) {
    return Wrong(options.cert.empty() ? "tls_cert" : "tls_key",
                 "is missing; --tls_cert and --tls_key go together");
  }
  if (!options.enabled()) {
    if (options.client_ca.empty()) return absl::OkStatus();
    return Wrong("tls_client_ca", "needs --tls_cert and --tls_key too");
  }
  RETORT_ASSIGN_OR_RETURN(Owned<X509> cert,
                          ReadCertificate("tls_cert", options.cert, now));
  RETORT_RETURN_IF_ERROR(CheckKey(options, cert.get()));
  if (options.client_ca.empty()) return absl::OkStatus();
  return ReadCertificate("tls_client_ca", options.client_ca, now).status();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerCredentials(
    const TlsOptions& options) {
  RETORT_RETURN_IF_ERROR(CheckTls(options, absl::Now()));
  if (!options.enabled()) return grpc::InsecureServerCredentials();
  auto files =
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          options.key, options.cert, options.client_ca, kRefreshSeconds);
  grpc::experimental::TlsServerCredentialsOptions tls(files);
  tls.watch_identity_key_cert_pairs();
  tls.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  if (!options.client_ca.empty()) {
    tls.watch_root_certs();
    tls.set_cert_request_type(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(tls);
}

}  // namespace retort::auth
