#include "server/auth/token_file.h"

#include <openssl/crypto.h>
#include <sys/stat.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "server/base/resource_name.h"

namespace retort::auth {
namespace {

constexpr int64_t kMaxBytes = 1 << 20;
constexpr size_t kMaxName = 100;

absl::Status Wrong(const std::string& source, const YAML::Node& node,
                   absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(source, ":", node.Mark().line + 1, ": ", what));
}

// Names stand in the log, where a line break would forge a line.
bool IsPlainName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxName &&
         std::all_of(name.begin(), name.end(), absl::ascii_isgraph);
}

bool IsSha256(const std::string& text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

absl::StatusOr<Right> ParseRole(const std::string& role) {
  if (role == "viewer") return Right::kRead;
  if (role == "user") return Right::kUse;
  if (role == "operator") return Right::kOperate;
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", role, "\" is no role; roles are viewer, user and operator"));
}

absl::StatusOr<std::set<std::string>> ParseProjects(const YAML::Node& node) {
  if (!node.IsSequence()) {
    return absl::InvalidArgumentError(
        "projects are a list ([a, b]), or \"*\" for all");
  }
  std::set<std::string> projects;
  for (const YAML::Node& item : node) {
    const std::string project = item.as<std::string>();
    RETORT_RETURN_IF_ERROR(service::ValidateId(project, "projects"));
    projects.insert(project);
  }
  return projects;
}

// Reads one field of an entry.
absl::Status ReadField(const std::string& key, const YAML::Node& value,
                       Grant* grant, TokenEntry* entry) {
  if (key == "projects" && value.IsScalar() && value.as<std::string>() == "*") {
    grant->all_projects = true;
    return absl::OkStatus();
  }
  if (key == "projects") {
    RETORT_ASSIGN_OR_RETURN(grant->projects, ParseProjects(value));
    return absl::OkStatus();
  }
  if (key == "reads") {
    RETORT_ASSIGN_OR_RETURN(grant->reads, ParseProjects(value));
    return absl::OkStatus();
  }
  const std::string text = value.as<std::string>();
  if (key == "name") {
    if (!IsPlainName(text)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a name has 1 to ", kMaxName, " visible ASCII characters"));
    }
    grant->name = text;
  } else if (key == "role") {
    RETORT_ASSIGN_OR_RETURN(grant->right, ParseRole(text));
  } else if (key == "sha256") {
    if (!IsSha256(text)) {
      return absl::InvalidArgumentError(
          "sha256 is 64 lower-case hex digits; `retortd token new` prints it");
    }
    entry->sha256 = text;
  } else if (key == "certificate") {
    entry->certificate = text;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown field \"", key, "\"; fields are name, sha256, ",
                     "certificate, role, projects, reads"));
  }
  return absl::OkStatus();
}

absl::StatusOr<TokenEntry> ParseEntry(const YAML::Node& node,
                                      const std::string& source) {
  if (!node.IsMap()) return Wrong(source, node, "is no `field: value` entry");
  Grant grant;
  TokenEntry entry;
  std::set<std::string> seen;
  for (const auto& field : node) {
    const std::string key = field.first.as<std::string>();
    absl::Status status = ReadField(key, field.second, &grant, &entry);
    if (status.ok() && !seen.insert(key).second) {
      status = absl::InvalidArgumentError(
          absl::StrCat("\"", key, "\" is there twice; keep one"));
    }
    if (!status.ok()) return Wrong(source, field.first, status.message());
  }
  if (entry.sha256.empty() == entry.certificate.empty()) {
    return Wrong(source, node, "an entry has either a sha256 or a certificate");
  }
  for (const char* needed : {"name", "role", "projects"}) {
    if (seen.count(needed) == 0) {
      return Wrong(source, node, absl::StrCat("an entry needs a ", needed));
    }
  }
  entry.caller = std::make_shared<Caller>(std::move(grant));
  return entry;
}

absl::StatusOr<std::vector<TokenEntry>> ParseRoot(const std::string& yaml,
                                                  const std::string& source) {
  const std::vector<YAML::Node> documents = YAML::LoadAll(yaml);
  const YAML::Node root = documents.empty() ? YAML::Node() : documents[0];
  std::vector<TokenEntry> entries;
  if (documents.size() > 1) {
    // What follows the list is no part of it, and would be dropped.
    return Wrong(source, documents[1], "does not belong to the list before it");
  }
  if (root.IsNull()) return entries;
  if (!root.IsSequence()) {
    return Wrong(source, root,
                 "is not a list of tokens; `retortd token new` prints entries");
  }
  std::set<std::string> names, shown;
  for (const YAML::Node& node : root) {
    RETORT_ASSIGN_OR_RETURN(TokenEntry entry, ParseEntry(node, source));
    if (!names.insert(entry.caller->name()).second) {
      return Wrong(source, node,
                   absl::StrCat("the name ", entry.caller->name(),
                                " is there twice; choose another"));
    }
    if (!shown.insert(entry.sha256 + "/" + entry.certificate).second) {
      return Wrong(source, node,
                   "the token or certificate is there twice; keep one");
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

absl::StatusOr<std::vector<TokenEntry>> ParseTokens(const std::string& yaml,
                                                    const std::string& source) {
  try {
    return ParseRoot(yaml, source);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ":", error.mark.line + 1, ": ", error.msg));
  }
}

absl::StatusOr<std::unique_ptr<TokenFile>> TokenFile::Open(
    const std::string& path) {
  std::unique_ptr<TokenFile> file(new TokenFile(path));
  const Stamp stamp = file->CurrentStamp();
  RETORT_ASSIGN_OR_RETURN(Entries entries, file->Load());
  absl::MutexLock lock(&file->mutex_);
  file->stamp_ = stamp;
  file->entries_ = std::make_shared<const Entries>(std::move(entries));
  return file;
}

TokenFile::Stamp TokenFile::CurrentStamp() const {
  struct stat info;
  if (::stat(path_.c_str(), &info) != 0) return Stamp{};
  // The time of change: of the content, and of the permissions too.
  return {int64_t{info.st_ctim.tv_sec} * 1000000000 + info.st_ctim.tv_nsec,
          info.st_ino, info.st_size};
}

absl::StatusOr<TokenFile::Entries> TokenFile::Load() const {
  struct stat info;
  if (::stat(path_.c_str(), &info) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("reading ", path_),
                             base::ParentDir(path_));
  }
  // The group may read: it holds hashes alone, and a mounted secret is often
  // its owner's and a group's.
  if ((info.st_mode & 037) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path_,
                     " is open to others than its owner (and its group, "
                     "to read); chmod 600 ",
                     path_));
  }
  RETORT_ASSIGN_OR_RETURN(const std::string yaml,
                          base::ReadFile(path_, kMaxBytes));
  return ParseTokens(yaml, path_);
}

std::shared_ptr<const TokenFile::Entries> TokenFile::Current() {
  const Stamp stamp = CurrentStamp();
  {
    absl::MutexLock lock(&mutex_);
    if (stamp == stamp_) return entries_;
  }
  auto loaded = Load();
  if (loaded.ok()) {
    RETORT_LOG(info, "{}: {} tokens and certificates", path_, loaded->size());
  } else {
    RETORT_LOG(error, "{}; the tokens read before stay in force",
               std::string(loaded.status().message()));
  }
  absl::MutexLock lock(&mutex_);
  stamp_ = stamp;
  if (loaded.ok()) {
    entries_ = std::make_shared<const Entries>(*std::move(loaded));
  }
  return entries_;
}

std::shared_ptr<const Caller> TokenFile::FindToken(absl::string_view token) {
  const std::shared_ptr<const Entries> entries = Current();
  const std::string sha256 = base::Sha256Hex(token);
  std::shared_ptr<const Caller> found;
  // To the end, whichever it is.
  for (const TokenEntry& entry : *entries) {
    if (entry.sha256.size() == sha256.size() &&
        CRYPTO_memcmp(entry.sha256.data(), sha256.data(), sha256.size()) == 0) {
      found = entry.caller;
    }
  }
  return found;
}

std::shared_ptr<const Caller> TokenFile::FindCertificate(
    absl::string_view common_name) {
  if (common_name.empty()) return nullptr;
  const std::shared_ptr<const Entries> entries = Current();
  for (const TokenEntry& entry : *entries) {
    if (entry.certificate == common_name) return entry.caller;
  }
  return nullptr;
}

}  // namespace retort::auth
