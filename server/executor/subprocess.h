#ifndef RETORT_SERVER_EXECUTOR_SUBPROCESS_H_
#define RETORT_SERVER_EXECUTOR_SUBPROCESS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/executor/executor.h"

namespace retort::executor {

struct SubprocessResult {
  ExitStatus exit;
  std::string stdout_text;
  std::string stderr_text;
};

struct SubprocessOptions {
  // Killed after this long; the result is then DeadlineExceeded.
  absl::Duration timeout = absl::Seconds(60);
  // What it reads from its standard input.
  std::string stdin_text;
  // Of stdout and stderr each, the first so many bytes are kept.
  int64_t max_output_bytes = 1 << 20;
  // Asked about once a second; killed when it says true, and the result is
  // Cancelled. May be empty.
  std::function<bool()> stop;
};

// Runs argv[0] (a path, not searched for) to its end in a process group of
// its own and returns what it printed. Uses posix_spawn,
// so it is safe in a process that has threads and gRPC. Blocks; call it from a
// thread that may. NotFound or PermissionDenied if it cannot be started; an
// exit code other than 0 is not an error here.
absl::StatusOr<SubprocessResult> RunToEnd(
    const std::vector<std::string>& argv,
    const SubprocessOptions& options = SubprocessOptions());

}  // namespace retort::executor

#endif  // RETORT_SERVER_EXECUTOR_SUBPROCESS_H_
