#include "server/auth/new_token.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "server/auth/token_file.h"

namespace retort::auth {
namespace {

constexpr char kPrefix[] = "retort_";
constexpr size_t kRandomBytes = 32;

std::string EntryOf(const TokenWish& wish, const std::string& token) {
  YAML::Emitter out;
  out << YAML::BeginSeq << YAML::BeginMap;
  out << YAML::Key << "name" << YAML::Value << YAML::DoubleQuoted << wish.name;
  out << YAML::Key << "sha256" << YAML::Value << base::Sha256Hex(token);
  out << YAML::Key << "role" << YAML::Value << wish.role;
  out << YAML::Key << "projects" << YAML::Value;
  if (wish.projects == std::vector<std::string>{"*"}) {
    out << YAML::DoubleQuoted << "*";
  } else {
    out << YAML::Flow << wish.projects;
  }
  if (!wish.reads.empty()) {
    out << YAML::Key << "reads" << YAML::Value << YAML::Flow << wish.reads;
  }
  out << YAML::EndMap << YAML::EndSeq;
  return absl::StrCat(out.c_str(), "\n");
}

}  // namespace

absl::StatusOr<NewToken> MakeToken(const TokenWish& wish) {
  std::string random(kRandomBytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(random.data()),
                 static_cast<int>(random.size())) != 1) {
    return absl::UnavailableError("the system gives no random numbers");
  }
  NewToken made;
  made.token = absl::StrCat(kPrefix, absl::BytesToHexString(random));
  made.entry = EntryOf(wish, made.token);
  // What the server would say of it, but for the line of a file that is not
  // there.
  const absl::Status status = ParseTokens(made.entry, "token").status();
  if (status.ok()) return made;
  const std::vector<std::string> parts =
      absl::StrSplit(status.message(), absl::MaxSplits(": ", 1));
  return absl::Status(status.code(), parts.back());
}

absl::Status WriteToken(const std::string& path, const std::string& token) {
  const int fd =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, " is there already; name another file"));
  }
  if (fd < 0) {
    return base::ErrnoStatus(errno, absl::StrCat("making ", path),
                             base::ParentDir(path));
  }
  absl::Cleanup close_fd = [fd] { ::close(fd); };
  const std::string line = absl::StrCat(token, "\n");
  if (::write(fd, line.data(), line.size()) !=
      static_cast<ssize_t>(line.size())) {
    return base::ErrnoStatus(errno, absl::StrCat("writing ", path),
                             base::ParentDir(path));
  }
  return absl::OkStatus();
}

}  // namespace retort::auth
