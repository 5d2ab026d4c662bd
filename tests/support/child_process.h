#ifndef RETORT_TESTS_SUPPORT_CHILD_PROCESS_H_
#define RETORT_TESTS_SUPPORT_CHILD_PROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace retort::testing {

// What a process that has ended left.
struct ProcessResult {
  // Exit code; 128 + signal if a signal ended it, as shells count.
  int code = -1;
  std::string out;
  std::string err;
};

// A child process of the test with its output in files. It is killed when
// the object dies, and by the kernel when the test does.
//
//   ChildProcess sleeper({"/bin/sleep", "10"}, dir / "out", dir / "err");
//   sleeper.Signal(SIGTERM);
//   EXPECT_EQ(sleeper.Wait(absl::Seconds(5)), 128 + SIGTERM);
class ChildProcess {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  // Starts argv[0], a path. Its output is appended to the two files.
  ChildProcess(const std::vector<std::string>& argv,
               const std::string& out_path, const std::string& err_path,
               const Environment& environment = {});
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal);
  // The exit code if it has ended, as ProcessResult::code counts.
  std::optional<int> TryWait();
  // Waits for its end; nullopt if that does not come in time.
  std::optional<int> Wait(absl::Duration timeout);

 private:
  pid_t pid_ = -1;
  std::optional<int> code_;
};

// Runs a program to its end; after `timeout` it is killed. Its output goes
// through files in `dir`.
ProcessResult RunProgram(const std::vector<std::string>& argv,
                         const std::string& dir, absl::Duration timeout,
                         const ChildProcess::Environment& environment = {});

// Pids of the processes with all of `words` as arguments, zombies left out.
std::vector<pid_t> FindProcesses(const std::vector<std::string>& words);

// Calls `done` until it returns true. False after `timeout`.
template <typename Done>
bool PollUntil(absl::Duration timeout, Done done);

// Reads a whole file; empty if there is none.
std::string Slurp(const std::string& path);

namespace internal {
// A moment between two looks.
void PollPause();
}  // namespace internal

template <typename Done>
bool PollUntil(absl::Duration timeout, Done done) {
  const absl::Time give_up = absl::Now() + timeout;
  while (!done()) {
    if (absl::Now() > give_up) return false;
    internal::PollPause();
  }
  return true;
}

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_CHILD_PROCESS_H_
