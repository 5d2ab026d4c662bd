#include "server/executor/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/log.h"
#include "server/executor/process.h"

namespace retort::executor {
namespace {

constexpr char kKill[] = "/cgroup.kill";
constexpr char kProcesses[] = "/cgroup.procs";

bool WriteFile(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t written = ::write(fd, text.data(), text.size());
  const int error = errno;
  ::close(fd);
  errno = error;
  return written == static_cast<ssize_t>(text.size());
}

// Where version 2 is mounted: what of its tree, and on which folder.
struct Mount {
  std::string root;
  std::string folder;
};

std::optional<Mount> FindMount() {
  const std::string table = ReadProc(::getpid(), "mountinfo");
  for (absl::string_view line : absl::StrSplit(table, '\n')) {
    // "ID PARENT DEVICE ROOT FOLDER OPTIONS [TAGS] - TYPE SOURCE OPTIONS"
    const std::vector<std::string> halves = absl::StrSplit(line, " - ");
    if (halves.size() != 2 || !absl::StartsWith(halves[1], "cgroup2 ")) {
      continue;
    }
    const std::vector<std::string> fields = absl::StrSplit(halves[0], ' ');
    if (fields.size() > 4) return Mount{fields[3], fields[4]};
  }
  return std::nullopt;
}

// The folder of a process's group; empty if it cannot be seen from here.
std::string FolderOf(int64_t pid) {
  const std::optional<Mount> mount = FindMount();
  if (!mount.has_value()) return "";
  const std::string groups = ReadProc(pid, "cgroup");
  for (absl::string_view line : absl::StrSplit(groups, '\n')) {
    if (!absl::ConsumePrefix(&line, "0::")) continue;
    if (mount->root != "/" && !absl::ConsumePrefix(&line, mount->root)) {
      return "";
    }
    if (line == "/") line = "";
    return absl::StrCat(mount->folder, line);
  }
  return "";
}

}  // namespace

std::string FindCgroupParent() {
  const std::string own = FolderOf(::getpid());
  std::string why;
  if (own.empty()) {
    why = "version 2 is not mounted";
  } else if (::access(own.c_str(), W_OK) != 0 ||
             ::access((own + kProcesses).c_str(), W_OK) != 0) {
    why = absl::StrCat(own, ": ", strerror(errno));
  } else {
    return own;
  }
  RETORT_LOG(debug, "workers get no control group of their own: {}", why);
  return "";
}

std::string MakeCgroup(const std::string& parent, const std::string& name,
                       const std::vector<int64_t>& pids) {
  const std::string folder = absl::StrCat(parent, "/", name);
  if (::mkdir(folder.c_str(), 0755) != 0) {
    RETORT_LOG(debug, "no control group {}: {}", folder, strerror(errno));
    return "";
  }
  bool usable = ::access((folder + kKill).c_str(), W_OK) == 0;
  for (const int64_t pid : pids) {
    // One that has ended already is not missed.
    usable = usable && (WriteFile(folder + kProcesses, absl::StrCat(pid)) ||
                        errno == ESRCH);
  }
  if (usable) return folder;
  RETORT_LOG(debug, "control group {} cannot be used: {}", folder,
             strerror(errno));
  for (const int64_t pid : pids) {
    WriteFile(parent + kProcesses, absl::StrCat(pid));
  }
  ::rmdir(folder.c_str());
  return "";
}

std::string CgroupOf(int64_t pid, const std::string& prefix) {
  const std::string folder = FolderOf(pid);
  const std::string name = folder.substr(folder.rfind('/') + 1);
  const bool ours = absl::StartsWith(name, prefix) &&
                    ::access((folder + kKill).c_str(), W_OK) == 0;
  return ours ? folder : "";
}

void KillCgroup(const std::string& folder) { WriteFile(folder + kKill, "1"); }

bool RemoveCgroup(const std::string& folder) {
  return ::rmdir(folder.c_str()) == 0 || errno != EBUSY;
}

void RemoveEmptyCgroups(const std::string& parent, const std::string& prefix) {
  std::error_code error;
  std::vector<std::string> folders;
  for (const auto& entry : std::filesystem::directory_iterator(parent, error)) {
    if (absl::StartsWith(entry.path().filename().string(), prefix)) {
      folders.push_back(entry.path().string());
    }
  }
  for (const std::string& folder : folders) ::rmdir(folder.c_str());
}

}  // namespace retort::executor
