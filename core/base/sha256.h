#ifndef RETORT_CORE_BASE_SHA256_H_
#define RETORT_CORE_BASE_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace retort::base {

// SHA-256 (FIPS 180-4), fed in pieces. Here because core/ must build where
// no crypto library is installed; it names content and finds damage, it
// guards no secret.
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

  void Update(absl::string_view bytes);

  // Ends the message and returns its digest as 64 lower-case hex digits.
  std::string HexDigest();

 private:
  void Compress(const uint8_t* blocks, size_t count);

  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> pending_;
  size_t pending_size_ = 0;
  uint64_t total_bytes_ = 0;
  bool finished_ = false;
};

// Returns the SHA-256 of `bytes` as 64 lower-case hex digits.
std::string Sha256Hex(absl::string_view bytes);

}  // namespace retort::base

#endif  // RETORT_CORE_BASE_SHA256_H_
