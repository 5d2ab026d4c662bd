#ifndef RETORT_SERVER_AUTH_TOKEN_FILE_H_
#define RETORT_SERVER_AUTH_TOKEN_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "server/auth/caller.h"

namespace retort::auth {

// One entry: who, and what they show.
struct TokenEntry {
  std::shared_ptr<const Caller> caller;
  // SHA-256 of the token, 64 lower-case hex digits; or empty.
  std::string sha256;
  // Common name of a client's certificate; or empty.
  std::string certificate;
};

// Reads the entries from YAML (or JSON) text:
//
//   - name: alice
//     sha256: 0f3a...          # of the token; or `certificate: COMMON-NAME`
//     role: user               # viewer, user or operator
//     projects: [vision]       # or "*"
//     reads: [shared]          # more projects, to read only
//
// InvalidArgument with `source`, line and remedy for anything else; a name,
// token or certificate may be there once.
absl::StatusOr<std::vector<TokenEntry>> ParseTokens(const std::string& yaml,
                                                    const std::string& source);

// The file of those who may call. It is looked at before each answer and read
// again when it has changed; a changed file that cannot be read or is wrong is
// logged, and what was read before stays in force. Thread-safe.
class TokenFile {
 public:
  // PermissionDenied if others than its owner may write the file, or others
  // than he and its group read it; NotFound; InvalidArgument, see ParseTokens.
  static absl::StatusOr<std::unique_ptr<TokenFile>> Open(
      const std::string& path);

  // Null for a token that nobody has. Takes the same time for all tokens.
  std::shared_ptr<const Caller> FindToken(absl::string_view token)
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<const Caller> FindCertificate(absl::string_view common_name)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Entries = std::vector<TokenEntry>;
  // Changes whenever the file does.
  struct Stamp {
    int64_t changed_ns = -1;
    ino_t inode = 0;
    off_t size = 0;
    bool operator==(const Stamp&) const = default;
  };

  explicit TokenFile(std::string path) : path_(std::move(path)) {}

  // As it is now; a file that is gone has one too.
  Stamp CurrentStamp() const;
  absl::StatusOr<Entries> Load() const;
  std::shared_ptr<const Entries> Current() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string path_;
  absl::Mutex mutex_;
  Stamp stamp_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const Entries> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace retort::auth

#endif  // RETORT_SERVER_AUTH_TOKEN_FILE_H_
