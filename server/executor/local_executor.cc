#include "server/executor/local_executor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "server/base/host_name.h"
#include "server/executor/cgroup.h"

namespace retort::executor {
namespace {

// How often processes are looked at where the kernel cannot tell, and how
// often in any case.
constexpr int kPollMsWithoutPidFd = 100;
constexpr int kPollMs = 5000;
// A rank that found another one gone may be seen to end before that one is:
// so long is waited for the one to blame before all are killed.
constexpr absl::Duration kCulpritGrace = absl::Seconds(1);
// How long what is left of a gang may take to die of SIGKILL.
constexpr absl::Duration kDeathGrace = absl::Seconds(10);
constexpr char kCgroupPrefix[] = "retort-gang-";
constexpr char kVisibleDevices[] = "CUDA_VISIBLE_DEVICES";

std::vector<std::string> Devices(int count) {
  std::vector<std::string> devices;
  if (const char* visible = getenv(kVisibleDevices)) {
    devices = absl::StrSplit(visible, ',', absl::SkipWhitespace());
  } else {
    for (int i = 0; i < count; ++i) devices.push_back(absl::StrCat(i));
  }
  if (devices.size() > static_cast<size_t>(count)) devices.resize(count);
  return devices;
}

// What a process starts with beside its arguments. `device`: its GPU, if any.
std::vector<std::pair<std::string, std::string>> WorkerEnvironment(
    const GangSpec& spec, const std::string& device) {
  std::vector<std::pair<std::string, std::string>> environment;
  if (spec.threads > 0) {
    // Before any library starts its threads; the assignment says it again.
    environment.emplace_back("OMP_NUM_THREADS", absl::StrCat(spec.threads));
  }
  // Worker processes share the machine: threads that spin at the end of each
  // parallel region (libgomp's default) slow the others, and each other, many
  // times over. Whoever starts the service may still say otherwise.
  if (getenv("OMP_WAIT_POLICY") == nullptr) {
    environment.emplace_back("OMP_WAIT_POLICY", "passive");
  }
  environment.emplace_back(kVisibleDevices, device);
  environment.emplace_back("RETORT_WORKER_TOKEN", spec.token);
  return environment;
}

}  // namespace

LocalExecutor::LocalExecutor(const LocalExecutorOptions& options,
                             WorkerLinks* links)
    : options_(options),
      links_(links),
      node_(service::HostName()),
      cgroup_parent_(FindCgroupParent()),
      devices_(Devices(options.gpus)),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      reaper_([this] { Reap(); }) {
  if (!cgroup_parent_.empty()) {
    RemoveEmptyCgroups(cgroup_parent_, kCgroupPrefix);
  }
}

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
  for (const auto& [incarnation, gang] : gangs_) {
    for (const Rank& rank : gang.ranks) {
      if (rank.pidfd >= 0) ::close(rank.pidfd);
    }
  }
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

std::vector<NodeInfo> LocalExecutor::Nodes() {
  NodeInfo node;
  node.name = node_;
  node.cpus = options_.cpus;
  node.gpus = static_cast<int>(devices_.size());
  return {node};
}

absl::StatusOr<std::string> LocalExecutor::Start(const GangSpec& spec) {
  const int log = ::open(spec.log_path.c_str(),
                         O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) {
    return base::ErrnoStatus(errno, absl::StrCat("opening ", spec.log_path),
                             base::ParentDir(spec.log_path));
  }
  absl::Cleanup close_log = [log] { ::close(log); };
  absl::MutexLock start_lock(&start_mutex_);
  Gang gang(std::max(spec.ranks, 1));
  RETORT_RETURN_IF_ERROR(TakeDevices(spec, &gang));
  // Before the start: the workers may dial at once.
  links_->Expect(spec.subject, spec.epoch, base::Sha256Hex(spec.token));
  const absl::Status spawned = SpawnRanks(spec, log, &gang);
  if (!spawned.ok()) {
    links_->Forget(spec.subject, spec.epoch);
    return spawned;
  }
  std::vector<ProcessId> processes;
  std::vector<int64_t> pids;
  for (const Rank& rank : gang.ranks) {
    processes.push_back(rank.process);
    pids.push_back(rank.process.pid);
  }
  if (!cgroup_parent_.empty()) {
    gang.cgroup = MakeCgroup(cgroup_parent_,
                             absl::StrCat(kCgroupPrefix, processes[0].pid, "-",
                                          processes[0].start_ticks),
                             pids);
  }
  Follow({spec.subject, spec.epoch}, std::move(gang));
  RETORT_LOG(info, "started worker {} of {} (epoch {})",
             absl::StrJoin(pids, ", "), spec.subject, spec.epoch);
  return ToHandle(processes);
}

absl::Status LocalExecutor::TakeDevices(const GangSpec& spec, Gang* gang) {
  if (spec.gpus == 0) return absl::OkStatus();
  std::vector<std::string> free = devices_;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [incarnation, other] : gangs_) {
      for (const std::string& device : other.devices) {
        free.erase(std::remove(free.begin(), free.end(), device), free.end());
      }
    }
  }
  const size_t needed = gang->ranks.size();
  if (needed > devices_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("it needs ", needed, " GPUs; this machine has ",
                     devices_.size(), " for jobs (--gpus)"));
  }
  if (needed > free.size()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("it needs ", needed, " GPUs; ", free.size(), " are free"));
  }
  free.resize(needed);
  gang->devices = std::move(free);
  return absl::OkStatus();
}

absl::Status LocalExecutor::SpawnRanks(const GangSpec& spec, int log,
                                       Gang* gang) {
  const int ranks = static_cast<int>(gang->ranks.size());
  for (int i = 0; i < ranks; ++i) {
    SpawnOptions options;
    options.argv = {options_.worker_binary};
    for (const auto& arguments :
         {GangArguments(options_.socket_path, spec.subject, spec.epoch),
          RankArguments(i, ranks)}) {
      options.argv.insert(options.argv.end(), arguments.begin(),
                          arguments.end());
    }
    options.argv.push_back(absl::StrCat("--log_level=", options_.log_level));
    if (options_.lease > absl::ZeroDuration()) {
      options.argv.push_back(
          absl::StrCat("--lease=", absl::ToDoubleSeconds(options_.lease)));
    }
    options.environment =
        WorkerEnvironment(spec, gang->devices.empty() ? "" : gang->devices[i]);
    options.stdout_fd = log;
    options.stderr_fd = log;
    absl::StatusOr<ProcessId> process = Spawn(options);
    if (process.ok()) {
      gang->ranks[i].process = *process;
      continue;
    }
    // All or nothing.
    for (int started = 0; started < i; ++started) {
      const int64_t pid = gang->ranks[started].process.pid;
      SignalGroup(pid, SIGKILL);
      AwaitEnd(pid);
    }
    return process.status();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> LocalExecutor::Adopt(
    const std::string& subject, int64_t epoch, const std::string& handle,
    const std::string& token_sha256) {
  std::vector<ProcessId> processes;
  if (handle.empty()) {
    processes = FindGang(GangArguments(options_.socket_path, subject, epoch));
  } else {
    RETORT_ASSIGN_OR_RETURN(processes, FromHandle(handle));
  }
  Gang gang(static_cast<int>(processes.size()));
  gang.ours = false;
  std::vector<int64_t> pids;
  for (size_t i = 0; i < processes.size(); ++i) {
    gang.ranks[i].process = processes[i];
    if (!IsAlive(processes[i])) continue;
    pids.push_back(processes[i].pid);
    if (gang.cgroup.empty()) {
      gang.cgroup = CgroupOf(processes[i].pid, kCgroupPrefix);
    }
    const std::string device = EnvironmentOf(processes[i].pid, kVisibleDevices);
    if (!device.empty()) gang.devices.push_back(device);
  }
  if (pids.size() < processes.size()) {
    // Nothing comes of a gang with a rank missing.
    KillAll(&gang);
    const absl::Time give_up = absl::Now() + kDeathGrace;
    while (!NoteGone(&gang) && absl::Now() < give_up) {
      absl::SleepFor(absl::Milliseconds(10));
    }
  }
  if (NoteGone(&gang)) {
    if (!gang.cgroup.empty()) RemoveCgroup(gang.cgroup);
    return absl::NotFoundError(absl::StrCat("no worker of ", subject, " with ",
                                            "epoch ", epoch, " is left"));
  }
  links_->Expect(subject, epoch, token_sha256);
  Follow({subject, epoch}, std::move(gang));
  RETORT_LOG(info, "found worker {} of {} (epoch {}) still running",
             absl::StrJoin(pids, ", "), subject, epoch);
  return ToHandle(processes);
}

void LocalExecutor::Follow(const Incarnation& incarnation, Gang gang) {
  for (Rank& rank : gang.ranks) {
    if (!rank.gone) rank.pidfd = OpenPidFd(rank.process.pid);
  }
  {
    absl::MutexLock lock(&mutex_);
    gangs_.insert_or_assign(incarnation, std::move(gang));
  }
  Wake();
}

void LocalExecutor::Terminate(const std::string& subject, int64_t epoch) {
  // Under the lock, since a pid is only ours until the reaper takes it.
  absl::MutexLock lock(&mutex_);
  const auto found = gangs_.find({subject, epoch});
  if (found != gangs_.end()) Signal(found->second, SIGTERM);
}

void LocalExecutor::Kill(const std::string& subject, int64_t epoch) {
  absl::MutexLock lock(&mutex_);
  const auto found = gangs_.find({subject, epoch});
  if (found != gangs_.end()) KillAll(&found->second);
}

void LocalExecutor::Signal(const Gang& gang, int signal) {
  for (const Rank& rank : gang.ranks) {
    if (rank.gone || (!gang.ours && !IsAlive(rank.process))) continue;
    SignalGroup(rank.process.pid, signal);
  }
}

void LocalExecutor::KillAll(Gang* gang) {
  gang->killed = true;
  gang->kill_at = absl::InfiniteFuture();
  Signal(*gang, SIGKILL);
  if (!gang->cgroup.empty()) KillCgroup(gang->cgroup);
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
    for (const auto& [incarnation, gang] : gangs_) {
      if (gang.kill_at != absl::InfiniteFuture()) timeout = kPollMsWithoutPidFd;
      for (const Rank& rank : gang.ranks) {
        if (rank.gone) continue;
        if (rank.pidfd >= 0) {
          waited.push_back({rank.pidfd, POLLIN, 0});
        } else {
          timeout = kPollMsWithoutPidFd;
        }
      }
    }
    if (!old_cgroups_.empty()) timeout = kPollMsWithoutPidFd;
  }
  ::poll(waited.data(), waited.size(), timeout);
  uint64_t count;
  [[maybe_unused]] const ssize_t read = ::read(wake_fd_, &count, sizeof(count));
}

bool LocalExecutor::NoteGone(Gang* gang) {
  bool all = true;
  for (size_t i = 0; i < gang->ranks.size(); ++i) {
    Rank& rank = gang->ranks[i];
    if (rank.gone) continue;
    std::optional<ExitStatus> exit;
    if (gang->ours) {
      exit = TryReap(rank.process.pid);
    } else if (!IsAlive(rank.process)) {
      exit = ExitStatus{.known = false};
    }
    if (!exit.has_value()) {
      all = false;
      continue;
    }
    rank.gone = true;
    if (rank.pidfd >= 0) ::close(std::exchange(rank.pidfd, -1));
    gang->end.Add(static_cast<int>(i), *exit, gang->killed);
  }
  return all;
}

std::vector<LocalExecutor::Ended> LocalExecutor::TakeEnded() {
  std::vector<Ended> ended;
  const absl::Time now = absl::Now();
  absl::MutexLock lock(&mutex_);
  for (auto it = gangs_.begin(); it != gangs_.end();) {
    Gang& gang = it->second;
    if (NoteGone(&gang)) {
      if (!gang.cgroup.empty()) {
        // What the workers have left running does not outlive them.
        KillCgroup(gang.cgroup);
        old_cgroups_.push_back(gang.cgroup);
      }
      ExitStatus exit = gang.end.exit();
      if (exit.rank >= 0) exit.node = node_;
      ended.push_back({it->first, exit});
      it = gangs_.erase(it);
      continue;
    }
    if (gang.end.is_bad() && !gang.killed) {
      if (gang.end.has_culprit() || gang.kill_at <= now) {
        KillAll(&gang);
      } else if (gang.kill_at == absl::InfiniteFuture()) {
        gang.kill_at = now + kCulpritGrace;
      }
    }
    ++it;
  }
  return ended;
}

void LocalExecutor::RemoveCgroups() {
  absl::MutexLock lock(&mutex_);
  old_cgroups_.erase(
      std::remove_if(old_cgroups_.begin(), old_cgroups_.end(), RemoveCgroup),
      old_cgroups_.end());
}

void LocalExecutor::Reap() {
  while (true) {
    WaitForNews();
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
    }
    const std::vector<Ended> all_ended = TakeEnded();
    RemoveCgroups();
    for (const Ended& ended : all_ended) {
      const auto& [subject, epoch] = ended.incarnation;
      RETORT_LOG(info, "worker of {} (epoch {}) has ended: {}", subject, epoch,
                 ended.exit.ToString());
      links_->Exited(subject, epoch, ended.exit);
    }
  }
}

}  // namespace retort::executor
