#include "server/worker/dial_credentials.h"

#include <cstdlib>

#include "absl/strings/match.h"
#include "core/base/file.h"
#include "core/base/log.h"

namespace retort::worker {
namespace {

constexpr int64_t kMaxPemBytes = 1 << 20;
// What no certificate is signed by; an empty text would mean the system's CAs.
constexpr char kTrustNobody[] = "nobody";

bool IsSet(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && value[0] != '\0';
}

std::string ReadPemOf(const char* variable) {
  auto pem = base::ReadFile(std::getenv(variable), kMaxPemBytes);
  if (pem.ok()) return *std::move(pem);
  RETORT_LOG(error, "{}: {}", variable, std::string(pem.status().message()));
  return kTrustNobody;
}

}  // namespace

std::shared_ptr<grpc::ChannelCredentials> DialCredentials(
    const std::string& server) {
  if (absl::StartsWith(server, "unix:") || !IsSet("RETORT_WORKER_CA")) {
    return grpc::InsecureChannelCredentials();
  }
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = ReadPemOf("RETORT_WORKER_CA");
  if (IsSet("RETORT_WORKER_CERT") && IsSet("RETORT_WORKER_KEY")) {
    ssl.pem_cert_chain = ReadPemOf("RETORT_WORKER_CERT");
    ssl.pem_private_key = ReadPemOf("RETORT_WORKER_KEY");
  }
  return grpc::SslCredentials(ssl);
}

}  // namespace retort::worker
