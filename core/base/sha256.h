#ifndef RETORT_CORE_BASE_SHA256_H_
#define RETORT_CORE_BASE_SHA256_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace retort::base {

// SHA-256 (FIPS 180-4), fed in pieces: OpenSSL's, without its headers in
// ours. It names content and finds damage.
//
//   Sha256 hash;
//   hash.Update(header);
//   hash.Update(body);
//   std::string hex = hash.HexDigest();
//
// Not thread-safe. Update() after HexDigest() is a failed check.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(absl::string_view bytes);

  // Ends the message and returns its digest as 64 lower-case hex digits.
  std::string HexDigest();

 private:
  struct Context;
  std::unique_ptr<Context> context_;  // null once finished
};

// Returns the SHA-256 of `bytes` as 64 lower-case hex digits.
std::string Sha256Hex(absl::string_view bytes);

}  // namespace retort::base

#endif  // RETORT_CORE_BASE_SHA256_H_
