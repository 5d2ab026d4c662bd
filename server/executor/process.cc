#include "server/executor/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/file.h"

extern char** environ;

namespace retort::executor {
namespace {

// posix_spawn's two structures, released at the end of the scope.
class SpawnPlan {
 public:
  SpawnPlan() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }

  void SetFiles(int stdin_fd, int stdout_fd, int stderr_fd) {
    AddNullOr(stdin_fd, STDIN_FILENO, O_RDONLY);
    AddNullOr(stdout_fd, STDOUT_FILENO, O_WRONLY);
    AddNullOr(stderr_fd, STDERR_FILENO, O_WRONLY);
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
    posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
#endif
#endif
  }

  void SetOwnGroupAndDefaultSignals() {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP |
                                               POSIX_SPAWN_SETSIGMASK |
                                               POSIX_SPAWN_SETSIGDEF);
  }

  int Run(const std::string& path, char** argv, char** env, pid_t* pid) {
    return posix_spawn(pid, path.c_str(), &actions_, &attributes_, argv, env);
  }

 private:
  void AddNullOr(int fd, int target, int flags) {
    if (fd < 0) {
      posix_spawn_file_actions_addopen(&actions_, target, "/dev/null", flags,
                                       0);
    } else {
      posix_spawn_file_actions_adddup2(&actions_, fd, target);
    }
  }

  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

std::vector<char*> Pointers(std::vector<std::string>* strings) {
  std::vector<char*> pointers;
  for (std::string& s : *strings) pointers.push_back(s.data());
  pointers.push_back(nullptr);
  return pointers;
}

// This process's environment with some variables replaced.
std::vector<std::string> Environment(
    const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view text(*entry);
    bool replaced = false;
    for (const auto& [name, value] : added) {
      replaced |= text.substr(0, text.find('=')) == name;
    }
    if (!replaced) result.emplace_back(text);
  }
  for (const auto& [name, value] : added) {
    result.push_back(absl::StrCat(name, "=", value));
  }
  return result;
}

}  // namespace

absl::StatusOr<ProcessId> Spawn(const SpawnOptions& options) {
  SpawnPlan plan;
  plan.SetFiles(options.stdin_fd, options.stdout_fd, options.stderr_fd);
  plan.SetOwnGroupAndDefaultSignals();
  std::vector<std::string> argv = options.argv;
  std::vector<std::string> env = Environment(options.environment);
  pid_t pid = 0;
  const int error = plan.Run(options.argv[0], Pointers(&argv).data(),
                             Pointers(&env).data(), &pid);
  if (error != 0) {
    return base::ErrnoStatus(error, absl::StrCat("starting ", options.argv[0]),
                             options.argv[0]);
  }
  return ProcessId{pid, StartTicks(pid).value_or(0)};
}

std::string ReadProc(int64_t pid, const std::string& file) {
  std::ifstream in(absl::StrCat("/proc/", pid, "/", file));
  std::stringstream content;
  content << in.rdbuf();
  return content.str();
}

std::optional<int64_t> StartTicks(int64_t pid) {
  const std::string text = ReadProc(pid, "stat");
  // The name, in parentheses, may hold anything; fields are counted after it.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  const std::vector<std::string> fields =
      absl::StrSplit(text.substr(name_end + 1), ' ', absl::SkipEmpty());
  constexpr size_t kState = 0, kStartTime = 19;
  int64_t ticks = 0;
  if (fields.size() <= kStartTime || fields[kState] == "Z" ||
      !absl::SimpleAtoi(fields[kStartTime], &ticks)) {
    return std::nullopt;
  }
  return ticks;
}

bool IsAlive(const ProcessId& process) {
  const std::optional<int64_t> ticks = StartTicks(process.pid);
  return ticks.has_value() && *ticks == process.start_ticks;
}

std::optional<ExitStatus> TryReap(int64_t pid) {
  int status = 0;
  const pid_t result = waitpid(static_cast<pid_t>(pid), &status, WNOHANG);
  if (result == 0) return std::nullopt;
  ExitStatus exit;
  if (result < 0) {
    if (errno == EINTR) return std::nullopt;
    exit.known = false;
  } else if (WIFSIGNALED(status)) {
    exit.signal = WTERMSIG(status);
  } else {
    exit.code = WEXITSTATUS(status);
  }
  return exit;
}

void AwaitEnd(int64_t pid) {
  while (waitpid(static_cast<pid_t>(pid), nullptr, 0) < 0 && errno == EINTR) {
  }
}

void SignalGroup(int64_t pid, int signal) {
  if (pid <= 1) return;
  // The group may not exist yet for an instant after the start.
  if (::kill(static_cast<pid_t>(-pid), signal) != 0) {
    ::kill(static_cast<pid_t>(pid), signal);
  }
}

int OpenPidFd(int64_t pid) {
#ifdef SYS_pidfd_open
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
#else
  return -1;
#endif
}

}  // namespace retort::executor
