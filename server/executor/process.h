#ifndef RETORT_SERVER_EXECUTOR_PROCESS_H_
#define RETORT_SERVER_EXECUTOR_PROCESS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/executor/executor.h"

// The system calls about processes, by posix_spawn alone: a process that has
// used gRPC must not fork.
namespace retort::executor {

// A process as the operating system knows it. `start_ticks` tells a process
// from a later one with the same pid.
struct ProcessId {
  int64_t pid = 0;
  int64_t start_ticks = 0;
};

struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is a path
  // Added to this process's environment.
  std::vector<std::pair<std::string, std::string>> environment;
  int stdin_fd = -1;  // -1: /dev/null, here and below
  int stdout_fd = -1;
  int stderr_fd = -1;
};

// Starts a process as the leader of a group of its own, with default signal
// handling and no other file of ours open. NotFound,
// PermissionDenied or ResourceExhausted if it cannot be started.
absl::StatusOr<ProcessId> Spawn(const SpawnOptions& options);

// Returns when a process was started, in the system's ticks; nullopt if there
// is none of that pid, or only the remains of one that has ended.
std::optional<int64_t> StartTicks(int64_t pid);

// What a file of /proc holds; empty if it cannot be read.
std::string ReadProc(int64_t pid, const std::string& file);

// True while exactly this process runs.
bool IsAlive(const ProcessId& process);

// Waits for a child without blocking; nullopt while it runs. Must not be
// called again after it gave a status.
std::optional<ExitStatus> TryReap(int64_t pid);

// Waits for a child, which must be about to end.
void AwaitEnd(int64_t pid);

// Sends a signal to a process and its group.
void SignalGroup(int64_t pid, int signal);

// A file handle that becomes readable when the process ends; -1 where the
// kernel has none.
int OpenPidFd(int64_t pid);

}  // namespace retort::executor

#endif  // RETORT_SERVER_EXECUTOR_PROCESS_H_
