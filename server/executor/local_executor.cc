#include "server/executor/local_executor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "server/executor/process.h"

namespace retort::executor {
namespace {

// How often processes are looked at where the kernel cannot tell, and how
// often in any case.
constexpr int kPollMsWithoutPidFd = 100;
constexpr int kPollMs = 5000;

}  // namespace

LocalExecutor::LocalExecutor(const LocalExecutorOptions& options,
                             WorkerLinks* links)
    : options_(options),
      links_(links),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      reaper_([this] { Reap(); }) {}

void LocalExecutor::Shutdown() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  Wake();
  if (reaper_.joinable()) reaper_.join();
}

LocalExecutor::~LocalExecutor() {
  Shutdown();
  absl::MutexLock lock(&mutex_);
  for (const auto& [incarnation, child] : children_) {
    if (child.pidfd >= 0) ::close(child.pidfd);
  }
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

absl::StatusOr<ProcessId> LocalExecutor::Start(const ProcessSpec& spec) {
  const int log = ::open(spec.log_path.c_str(),
                         O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) {
    return base::ErrnoStatus(errno, absl::StrCat("opening ", spec.log_path),
                             base::ParentDir(spec.log_path));
  }
  absl::Cleanup close_log = [log] { ::close(log); };

  SpawnOptions options;
  options.argv = {options_.worker_binary,
                  absl::StrCat("--server=unix:", options_.socket_path),
                  absl::StrCat("--subject=", spec.subject),
                  absl::StrCat("--epoch=", spec.epoch),
                  absl::StrCat("--log_level=", options_.log_level)};
  if (spec.threads > 0) {
    // Before any library starts its threads; the assignment says it again.
    options.environment.emplace_back("OMP_NUM_THREADS",
                                     absl::StrCat(spec.threads));
  }
  // Worker processes share the machine: threads that spin at the end of each
  // parallel region (libgomp's default) slow the others, and each other, many
  // times over. Whoever starts the service may still say otherwise.
  if (getenv("OMP_WAIT_POLICY") == nullptr) {
    options.environment.emplace_back("OMP_WAIT_POLICY", "passive");
  }
  options.environment.emplace_back("RETORT_WORKER_TOKEN", spec.token);
  options.stdout_fd = log;
  options.stderr_fd = log;

  // Before the start: the worker may dial at once.
  links_->Expect(spec.subject, spec.epoch, base::Sha256Hex(spec.token));
  absl::StatusOr<ProcessId> process = Spawn(options);
  if (!process.ok()) {
    links_->Forget(spec.subject, spec.epoch);
    return process.status();
  }
  Child child;
  child.process = *process;
  Follow({spec.subject, spec.epoch}, child);
  RETORT_LOG(info, "started worker {} of {} (epoch {})", process->pid,
             spec.subject, spec.epoch);
  return process;
}

absl::Status LocalExecutor::Adopt(const std::string& subject, int64_t epoch,
                                  const ProcessId& process,
                                  const std::string& token_sha256) {
  if (!IsAlive(process)) {
    return absl::NotFoundError(
        absl::StrCat("worker ", process.pid, " of ", subject, " is gone"));
  }
  links_->Expect(subject, epoch, token_sha256);
  Child child;
  child.process = process;
  child.ours = false;
  Follow({subject, epoch}, child);
  RETORT_LOG(info, "found worker {} of {} (epoch {}) still running",
             process.pid, subject, epoch);
  return absl::OkStatus();
}

void LocalExecutor::Follow(const Incarnation& incarnation, const Child& child) {
  {
    absl::MutexLock lock(&mutex_);
    Child& followed = children_[incarnation];
    followed = child;
    followed.pidfd = OpenPidFd(child.process.pid);
  }
  Wake();
}

void LocalExecutor::Terminate(const std::string& subject, int64_t epoch) {
  Signal({subject, epoch}, SIGTERM);
}

void LocalExecutor::Kill(const std::string& subject, int64_t epoch) {
  Signal({subject, epoch}, SIGKILL);
}

void LocalExecutor::Signal(const Incarnation& incarnation, int signal) {
  // Under the lock, since the pid is only ours until the reaper takes it.
  absl::MutexLock lock(&mutex_);
  const auto found = children_.find(incarnation);
  if (found == children_.end()) return;
  const Child& child = found->second;
  if (!child.ours && !IsAlive(child.process)) return;
  SignalGroup(child.process.pid, signal);
}

void LocalExecutor::Wake() {
  const uint64_t one = 1;
  // It fails only when the counter is full, and then it is awake anyway.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof(one));
}

void LocalExecutor::WaitForNews() {
  std::vector<pollfd> waited = {{wake_fd_, POLLIN, 0}};
  int timeout = kPollMs;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [incarnation, child] : children_) {
      if (child.pidfd >= 0) {
        waited.push_back({child.pidfd, POLLIN, 0});
      } else {
        timeout = kPollMsWithoutPidFd;
      }
    }
  }
  ::poll(waited.data(), waited.size(), timeout);
  uint64_t count;
  [[maybe_unused]] const ssize_t read = ::read(wake_fd_, &count, sizeof(count));
}

std::vector<LocalExecutor::End> LocalExecutor::TakeEnded() {
  std::vector<End> ended;
  absl::MutexLock lock(&mutex_);
  for (auto it = children_.begin(); it != children_.end();) {
    const Child& child = it->second;
    std::optional<ExitStatus> exit;
    if (child.ours) {
      exit = TryReap(child.process.pid);
    } else if (!IsAlive(child.process)) {
      exit = ExitStatus{.known = false};
    }
    if (!exit.has_value()) {
      ++it;
      continue;
    }
    ended.push_back({it->first, *exit});
    if (child.pidfd >= 0) ::close(child.pidfd);
    it = children_.erase(it);
  }
  return ended;
}

void LocalExecutor::Reap() {
  while (true) {
    WaitForNews();
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
    }
    for (const End& end : TakeEnded()) {
      const auto& [subject, epoch] = end.incarnation;
      RETORT_LOG(info, "worker of {} (epoch {}) has ended: {}", subject, epoch,
                 end.exit.ToString());
      links_->Exited(subject, epoch, end.exit);
    }
  }
}

}  // namespace retort::executor
