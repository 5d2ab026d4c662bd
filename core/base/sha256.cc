#include "core/base/sha256.h"

#include <openssl/evp.h>

#include "absl/strings/escaping.h"
#include "core/base/check.h"

namespace retort::base {

struct Sha256::Context {
  Context() : evp(EVP_MD_CTX_new()) {
    RETORT_CHECK(evp != nullptr &&
                 EVP_DigestInit_ex(evp, EVP_sha256(), nullptr) == 1);
  }
  ~Context() { EVP_MD_CTX_free(evp); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  EVP_MD_CTX* evp;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {}
Sha256::~Sha256() = default;

void Sha256::Update(absl::string_view bytes) {
  RETORT_CHECK(context_ != nullptr, "the hash is finished");
  RETORT_CHECK(EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) ==
               1);
}

std::string Sha256::HexDigest() {
  RETORT_CHECK(context_ != nullptr, "the hash is finished");
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  RETORT_CHECK(EVP_DigestFinal_ex(context_->evp, digest, &size) == 1);
  context_.reset();
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), size));
}

std::string Sha256Hex(absl::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.HexDigest();
}

}  // namespace retort::base
