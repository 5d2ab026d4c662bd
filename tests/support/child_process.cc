#include "tests/support/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "core/base/check.h"

namespace retort::testing {

ChildProcess::ChildProcess(const std::vector<std::string>& argv,
                           const std::string& out_path,
                           const std::string& err_path,
                           const Environment& environment) {
  std::vector<char*> pointers;
  for (const std::string& word : argv) {
    pointers.push_back(const_cast<char*>(word.c_str()));
  }
  pointers.push_back(nullptr);
  const pid_t test = getpid();
  // The tests have one thread, so a fork is safe.
  pid_ = fork();
  RETORT_CHECK(pid_ >= 0);
  if (pid_ > 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != test) _exit(127);
  const auto redirect = [](const std::string& path, int target) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0 || dup2(fd, target) < 0) _exit(127);
    close(fd);
  };
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  redirect(out_path, STDOUT_FILENO);
  redirect(err_path, STDERR_FILENO);
  for (const auto& [name, value] : environment) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  execv(pointers[0], pointers.data());
  _exit(127);
}

ChildProcess::~ChildProcess() {
  if (code_.has_value()) return;
  Signal(SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void ChildProcess::Signal(int signal) {
  if (!code_.has_value()) kill(pid_, signal);
}

std::optional<int> ChildProcess::TryWait() {
  if (code_.has_value()) return code_;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) {
    code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return code_;
}

std::optional<int> ChildProcess::Wait(absl::Duration timeout) {
  PollUntil(timeout, [this] { return TryWait().has_value(); });
  return code_;
}

ProcessResult RunProgram(const std::vector<std::string>& argv,
                         const std::string& dir, absl::Duration timeout,
                         const ChildProcess::Environment& environment) {
  const std::string out = dir + "/program.out", err = dir + "/program.err";
  std::error_code ignored;
  std::filesystem::remove(out, ignored);
  std::filesystem::remove(err, ignored);
  ProcessResult result;
  {
    ChildProcess child(argv, out, err, environment);
    result.code = child.Wait(timeout).value_or(-1);
  }
  result.out = Slurp(out);
  result.err = Slurp(err);
  if (result.code == -1) {
    absl::StrAppend(&result.err, "\n[killed by the test after ",
                    absl::FormatDuration(timeout), "]");
  }
  return result;
}

std::vector<pid_t> FindProcesses(const std::vector<std::string>& words) {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc", error)) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    // Empty for a zombie.
    const std::vector<std::string> arguments =
        absl::StrSplit(Slurp(entry.path() / "cmdline"), '\0');
    const bool all = std::all_of(words.begin(), words.end(), [&](auto& word) {
      return std::find(arguments.begin(), arguments.end(), word) !=
             arguments.end();
    });
    if (all) found.push_back(pid);
  }
  return found;
}

std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

namespace internal {

void PollPause() { absl::SleepFor(absl::Milliseconds(20)); }

}  // namespace internal

}  // namespace retort::testing
