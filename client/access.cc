#include "client/access.h"

#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/call_status.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace retort::client {
namespace {

constexpr int64_t kMaxFileBytes = 1 << 20;

absl::StatusOr<std::string> ReadOwnFile(const char* flag,
                                        const std::string& path) {
  auto bytes = base::ReadFile(path, kMaxFileBytes);
  if (bytes.ok()) return bytes;
  return UsageError(absl::StrCat(flag, ": ", bytes.status().message()));
}

// `holds`: what its first line must name.
absl::StatusOr<std::string> ReadPem(const char* flag, const std::string& path,
                                    const char* holds) {
  if (path.empty()) return std::string();
  RETORT_ASSIGN_OR_RETURN(std::string pem, ReadOwnFile(flag, path));
  if (absl::StrContains(pem, "-----BEGIN ") && absl::StrContains(pem, holds)) {
    return pem;
  }
  return UsageError(absl::StrCat(flag, ": ", path, " has no -----BEGIN ", holds,
                                 "----- in it; it must be PEM"));
}

absl::StatusOr<std::string> ReadToken(const AccessOptions& options) {
  if (options.token_file.empty()) return options.token;
  const std::string& path = options.token_file;
  RETORT_ASSIGN_OR_RETURN(const std::string text,
                          ReadOwnFile("--token-file", path));
  struct stat info;
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    return UsageError(absl::StrCat("--token-file: ", path, " can be read by ",
                                   "others; chmod 600 ", path));
  }
  return text;
}

// True if calls do not leave this machine.
bool IsLocal(absl::string_view server) {
  for (const char* prefix : {"unix:", "localhost:", "[::1]:", "ipv6:[::1]:"}) {
    if (absl::StartsWith(server, prefix)) return true;
  }
  absl::ConsumePrefix(&server, "ipv4:");
  // Numbers only: 127.example.org is no loopback.
  return absl::StartsWith(server, "127.") &&
         server.find_first_not_of("0123456789.:") == absl::string_view::npos;
}

absl::StatusOr<std::string> Authorization(const AccessOptions& options,
                                          const std::string& server) {
  RETORT_ASSIGN_OR_RETURN(std::string token, ReadToken(options));
  absl::StripAsciiWhitespace(&token);
  if (token.empty()) {
    if (options.token_file.empty()) return std::string();
    return UsageError(
        absl::StrCat("--token-file: ", options.token_file, " is empty"));
  }
  if (!std::all_of(token.begin(), token.end(), absl::ascii_isgraph)) {
    return UsageError(
        "the token (RETORT_TOKEN or --token-file) is no single word; "
        "`retortd token new` makes one");
  }
  if (!options.uses_tls() && !IsLocal(server)) {
    return UsageError(
        absl::StrCat("without TLS the token could be read on its way to ",
                     server, "; say --ca FILE (the server's CA), or --tls"));
  }
  return absl::StrCat("Bearer ", token);
}

}  // namespace

absl::StatusOr<Access> MakeAccess(const AccessOptions& options,
                                  const std::string& server) {
  Access access;
  RETORT_ASSIGN_OR_RETURN(access.authorization, Authorization(options, server));
  if (!options.uses_tls()) {
    access.credentials = grpc::InsecureChannelCredentials();
    return access;
  }
  if (options.cert.empty() != options.key.empty()) {
    return UsageError("--cert and --key go together; give both");
  }
  grpc::SslCredentialsOptions ssl;
  RETORT_ASSIGN_OR_RETURN(ssl.pem_root_certs,
                          ReadPem("--ca", options.ca, "CERTIFICATE"));
  RETORT_ASSIGN_OR_RETURN(ssl.pem_cert_chain,
                          ReadPem("--cert", options.cert, "CERTIFICATE"));
  RETORT_ASSIGN_OR_RETURN(ssl.pem_private_key,
                          ReadPem("--key", options.key, "PRIVATE KEY"));
  access.credentials = grpc::SslCredentials(ssl);
  return access;
}

}  // namespace retort::client
