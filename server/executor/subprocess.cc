#include "server/executor/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "server/executor/process.h"

namespace retort::executor {
namespace {

// A pipe, both ends closed on exec and at the end of the scope.
class Pipe {
 public:
  ~Pipe() {
    CloseWriter();
    if (fds_[0] >= 0) ::close(fds_[0]);
  }
  bool Open() { return ::pipe2(fds_, O_CLOEXEC) == 0; }
  void CloseWriter() {
    if (fds_[1] >= 0) ::close(fds_[1]);
    fds_[1] = -1;
  }
  int reader() const { return fds_[0]; }
  int writer() const { return fds_[1]; }

 private:
  int fds_[2] = {-1, -1};
};

// An unnamed file that holds the text, to be read from its beginning. No pipe:
// that would have to be filled while the program runs.
absl::StatusOr<int> TextFile(const std::string& text) {
  const int fd = ::memfd_create("stdin", MFD_CLOEXEC);
  if (fd < 0) return base::ErrnoStatus(errno, "making a file in memory", "/");
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(fd, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int cause = errno;
      ::close(fd);
      return base::ErrnoStatus(cause, "writing to a file in memory", "/");
    }
    done += count;
  }
  ::lseek(fd, 0, SEEK_SET);
  return fd;
}

// Reads what is there; false at the end.
bool Drain(int fd, int64_t limit, std::string* text) {
  char buffer[4096];
  const ssize_t count = ::read(fd, buffer, sizeof(buffer));
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  const int64_t room = limit - static_cast<int64_t>(text->size());
  text->append(buffer,
               std::clamp<int64_t>(count, 0, std::max<int64_t>(room, 0)));
  return count > 0;
}

using SteadyClock = std::chrono::steady_clock;

enum class CollectEnd { kDone, kLate, kStopped };

// Copies both pipes until they end, the time is over or it is to stop.
CollectEnd Collect(Pipe* out, Pipe* err, SteadyClock::time_point deadline,
                   const SubprocessOptions& options, SubprocessResult* result) {
  pollfd waited[] = {{out->reader(), POLLIN, 0}, {err->reader(), POLLIN, 0}};
  std::string* texts[] = {&result->stdout_text, &result->stderr_text};
  while (waited[0].fd >= 0 || waited[1].fd >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - SteadyClock::now());
    if (left.count() <= 0) return CollectEnd::kLate;
    if (options.stop && options.stop()) return CollectEnd::kStopped;
    ::poll(waited, 2, static_cast<int>(std::min<int64_t>(left.count(), 1000)));
    for (int i = 0; i < 2; ++i) {
      if (waited[i].fd >= 0 && waited[i].revents != 0 &&
          !Drain(waited[i].fd, options.max_output_bytes, texts[i])) {
        waited[i].fd = -1;  // poll skips it
      }
    }
  }
  return CollectEnd::kDone;
}

ExitStatus Wait(pid_t pid) {
  int status = 0;
  pid_t result;
  do {
    result = ::waitpid(pid, &status, 0);
  } while (result < 0 && errno == EINTR);
  ExitStatus exit;
  if (result < 0) {
    exit.known = false;
  } else if (WIFSIGNALED(status)) {
    exit.signal = WTERMSIG(status);
  } else {
    exit.code = WEXITSTATUS(status);
  }
  return exit;
}

}  // namespace

absl::StatusOr<SubprocessResult> RunToEnd(const std::vector<std::string>& argv,
                                          const SubprocessOptions& options) {
  if (argv.empty()) return absl::InvalidArgumentError("no program to run");
  Pipe out, err;
  if (!out.Open() || !err.Open()) {
    return base::ErrnoStatus(errno, "opening a pipe", "/");
  }
  SpawnOptions spawn;
  spawn.argv = argv;
  if (!options.stdin_text.empty()) {
    RETORT_ASSIGN_OR_RETURN(spawn.stdin_fd, TextFile(options.stdin_text));
  }
  absl::Cleanup close_stdin = [&spawn] {
    if (spawn.stdin_fd >= 0) ::close(spawn.stdin_fd);
  };
  spawn.stdout_fd = out.writer();
  spawn.stderr_fd = err.writer();
  RETORT_ASSIGN_OR_RETURN(ProcessId process, Spawn(spawn));
  out.CloseWriter();
  err.CloseWriter();
  SubprocessResult result;
  const auto deadline =
      SteadyClock::now() + absl::ToChronoMilliseconds(options.timeout);
  const CollectEnd end = Collect(&out, &err, deadline, options, &result);
  if (end != CollectEnd::kDone) SignalGroup(process.pid, SIGKILL);
  result.exit = Wait(static_cast<pid_t>(process.pid));
  if (end == CollectEnd::kStopped) {
    return absl::CancelledError(absl::StrCat(argv[0], " was stopped"));
  }
  if (end == CollectEnd::kLate) {
    return absl::DeadlineExceededError(
        absl::StrCat(argv[0], " did not end within ",
                     absl::FormatDuration(options.timeout)));
  }
  return result;
}

}  // namespace retort::executor
