#include "server/executor/slurm_commands.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"

namespace retort::executor::slurm {
namespace {

// Slurm's own limit for an answer is 10 s, and its commands ask again.
constexpr absl::Duration kCommandTimeout = absl::Seconds(30);
// Who starts a gang has others to start.
constexpr absl::Duration kSubmitTimeout = absl::Seconds(10);
// A queue of 100,000 jobs of one user, or 10,000 nodes.
constexpr int64_t kMaxOutput = 64 << 20;

bool IsProgram(const std::string& path) {
  return ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

absl::StatusOr<std::string> FindPrograms(const std::string& folder) {
  std::vector<std::string> folders = {folder};
  if (folder.empty()) {
    const char* path = std::getenv("PATH");
    folders =
        absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty());
  }
  for (const std::string& candidate : folders) {
    if (IsProgram(candidate + "/sbatch")) return candidate;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--executor=slurm: there is no sbatch in ",
      folder.empty() ? "the folders of PATH" : folder,
      "; install Slurm's client commands (Debian: slurm-client), or say where ",
      "they are with --slurm_bin"));
}

CommandRunner RunFrom(const std::string& folder) {
  return [folder](const std::vector<std::string>& argv,
                  const std::string& stdin_text) {
    std::vector<std::string> full = argv;
    full[0] = absl::StrCat(folder, "/", argv[0]);
    SubprocessOptions options;
    options.timeout = argv[0] == "sbatch" ? kSubmitTimeout : kCommandTimeout;
    options.max_output_bytes = kMaxOutput;
    options.stdin_text = stdin_text;
    return RunToEnd(full, options);
  };
}

absl::StatusOr<std::string> Commands::Run(
    const std::vector<std::string>& argv) const {
  absl::StatusOr<SubprocessResult> result = run_(argv, "");
  if (!result.ok()) {
    return absl::UnavailableError(
        absl::StrCat("Slurm: ", result.status().message()));
  }
  if (result->exit.known && result->exit.signal == 0 &&
      result->exit.code == 0) {
    return std::move(result->stdout_text);
  }
  const std::string words = absl::StrJoin(
      absl::StrSplit(result->stderr_text, '\n', absl::SkipEmpty()), "; ");
  const std::string message =
      absl::StrCat("Slurm: ", words.empty() ? absl::StrJoin(argv, " ") : words);
  if (absl::StrContains(words, "Invalid job id")) {
    return absl::NotFoundError(message);
  }
  return absl::UnavailableError(message);
}

absl::StatusOr<int64_t> Commands::Submit(
    const std::vector<std::string>& arguments,
    const std::string& script) const {
  std::vector<std::string> argv = {"sbatch"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  absl::StatusOr<SubprocessResult> result = run_(argv, script);
  if (!result.ok()) {
    return absl::UnavailableError(
        absl::StrCat("Slurm: ", result.status().message()));
  }
  if (result->exit.code != 0 || result->exit.signal != 0) {
    return SubmitError(result->stderr_text);
  }
  return ParseSubmitted(result->stdout_text);
}

absl::StatusOr<std::vector<QueueRow>> Commands::Queue() const {
  RETORT_ASSIGN_OR_RETURN(
      std::string text,
      Run({"squeue", "--me", "--states=all", "--noheader", kQueueFormat}));
  return ParseQueue(text);
}

absl::StatusOr<JobInfo> Commands::Job(int64_t id) const {
  RETORT_ASSIGN_OR_RETURN(
      std::string text,
      Run({"scontrol", "--oneliner", "show", "job", absl::StrCat(id)}));
  return ParseJob(text);
}

std::optional<JobInfo> Commands::Account(int64_t id) const {
  const absl::StatusOr<std::string> text =
      Run({"sacct", "--allocations", "--noheader", "--parsable2",
           "--format=State,ExitCode,NodeList", absl::StrCat("--jobs=", id)});
  return text.ok() ? ParseAccount(*text) : std::nullopt;
}

absl::StatusOr<std::vector<NodeInfo>> Commands::Nodes() const {
  RETORT_ASSIGN_OR_RETURN(std::string text,
                          Run({"scontrol", "--oneliner", "show", "node"}));
  return ParseNodes(text);
}

std::vector<std::string> Commands::ExpandNodes(const std::string& nodes) const {
  if (nodes.empty()) return {};
  const absl::StatusOr<std::string> text =
      Run({"scontrol", "show", "hostnames", nodes});
  if (!text.ok()) return {nodes};
  return absl::StrSplit(*text, '\n', absl::SkipEmpty());
}

absl::Status Commands::CancelWaiting(int64_t id) const {
  return Run({"scancel", "--state=PENDING", absl::StrCat(id)}).status();
}

absl::Status Commands::Terminate(int64_t id) const {
  // To the steps' tasks, not to the batch script.
  return Run({"scancel", "--signal=TERM", absl::StrCat(id)}).status();
}

absl::Status Commands::Kill(int64_t id) const {
  // The step's tasks at once; of a job Slurm would first ask them, and wait
  // for KillWait. It may have no step yet, or none any more.
  (void)Run({"scancel", "--signal=KILL", absl::StrCat(id, ".0")});
  return Run({"scancel", absl::StrCat(id)}).status();
}

}  // namespace retort::executor::slurm
