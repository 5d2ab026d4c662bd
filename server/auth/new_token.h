#ifndef RETORT_SERVER_AUTH_NEW_TOKEN_H_
#define RETORT_SERVER_AUTH_NEW_TOKEN_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace retort::auth {

// What `retortd token new` asks for.
struct TokenWish {
  std::string name;
  std::string role = "user";
  std::vector<std::string> projects;  // or only "*"
  std::vector<std::string> reads;
};

// A token, and the entry of the tokens file that lets it in.
struct NewToken {
  std::string token;  // "retort_" and 64 hex digits: 256 random bits
  std::string entry;  // YAML, ends with a line break
};

// InvalidArgument for a wish that the tokens file could not hold.
absl::StatusOr<NewToken> MakeToken(const TokenWish& wish);

// Writes the token to a new file that only its owner can read. AlreadyExists
// if there is a file of that name.
absl::Status WriteToken(const std::string& path, const std::string& token);

}  // namespace retort::auth

#endif  // RETORT_SERVER_AUTH_NEW_TOKEN_H_
