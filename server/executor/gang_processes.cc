#include "server/executor/gang_processes.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace retort::executor {
namespace {

constexpr char kHandlePrefix[] = "local ";
constexpr char kRankArgument[] = "--rank=";
constexpr char kRanksArgument[] = "--ranks=";

bool IsOurs(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 && info.st_uid == ::geteuid();
}

// The number after `name` among arguments; `otherwise` if there is none.
int NumberOf(const std::vector<std::string>& arguments, absl::string_view name,
             int otherwise) {
  for (absl::string_view argument : arguments) {
    int number = 0;
    if (absl::ConsumePrefix(&argument, name) &&
        absl::SimpleAtoi(argument, &number)) {
      return number;
    }
  }
  return otherwise;
}

}  // namespace

std::string ToHandle(const std::vector<ProcessId>& ranks) {
  return absl::StrCat(
      kHandlePrefix,
      absl::StrJoin(ranks, ",", [](std::string* out, const ProcessId& rank) {
        absl::StrAppend(out, rank.pid, ":", rank.start_ticks);
      }));
}

absl::StatusOr<std::vector<ProcessId>> FromHandle(const std::string& handle) {
  absl::string_view rest = handle;
  std::vector<ProcessId> ranks;
  bool good = absl::ConsumePrefix(&rest, kHandlePrefix);
  for (absl::string_view item : absl::StrSplit(rest, ',')) {
    const std::pair<std::string, std::string> numbers =
        absl::StrSplit(item, absl::MaxSplits(':', 1));
    ProcessId& rank = ranks.emplace_back();
    good = good && absl::SimpleAtoi(numbers.first, &rank.pid) &&
           absl::SimpleAtoi(numbers.second, &rank.start_ticks);
  }
  if (good) return ranks;
  return absl::FailedPreconditionError(
      absl::StrCat("its processes are known as \"", handle,
                   "\", not as processes of this machine"));
}

std::vector<std::string> GangArguments(const std::string& socket_path,
                                       const std::string& subject,
                                       int64_t epoch) {
  return {absl::StrCat("--server=unix:", socket_path),
          absl::StrCat("--subject=", subject), absl::StrCat("--epoch=", epoch)};
}

std::vector<std::string> RankArguments(int rank, int ranks) {
  return {absl::StrCat(kRankArgument, rank),
          absl::StrCat(kRanksArgument, ranks)};
}

std::vector<ProcessId> FindGang(const std::vector<std::string>& arguments) {
  std::vector<ProcessId> ranks;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc", error)) {
    int64_t pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid) ||
        !IsOurs(entry.path().string())) {
      continue;
    }
    const std::vector<std::string> words =
        absl::StrSplit(ReadProc(pid, "cmdline"), '\0');
    const bool all = std::all_of(
        arguments.begin(), arguments.end(), [&](const std::string& argument) {
          return std::count(words.begin(), words.end(), argument) > 0;
        });
    const auto ticks = StartTicks(pid);
    if (!all || !ticks.has_value()) continue;
    const int rank = std::max(NumberOf(words, kRankArgument, 0), 0);
    const int count = std::max(NumberOf(words, kRanksArgument, 1), rank + 1);
    if (ranks.size() < static_cast<size_t>(count)) ranks.resize(count);
    // A child that has not become another program yet looks like its parent,
    // which was started before it.
    ProcessId& found = ranks[rank];
    if (found.pid == 0 || *ticks < found.start_ticks) found = {pid, *ticks};
  }
  return ranks;
}

std::string EnvironmentOf(int64_t pid, const std::string& variable) {
  const std::string all = ReadProc(pid, "environ");
  const std::string name = absl::StrCat(variable, "=");
  for (absl::string_view entry : absl::StrSplit(all, '\0')) {
    if (absl::ConsumePrefix(&entry, name)) return std::string(entry);
  }
  return "";
}

void GangEnd::Add(int rank, const ExitStatus& exit, bool killed) {
  Weight weight = Weight::kCulprit;
  if (exit.known && exit.code == 0 && exit.signal == 0) {
    weight = Weight::kDone;
  } else if (!exit.known || (killed && exit.signal == SIGKILL)) {
    // Of a process that this server did not start nobody can tell whether it
    // ended well: the others, which use it, will notice if it did not.
    weight = Weight::kKilledByUs;
  } else if (exit.signal == 0 && exit.code == kPeersLostExitCode) {
    weight = Weight::kPeersLost;
  }
  if (weight <= weight_) return;
  weight_ = weight;
  exit_ = exit;
  const bool went_first = is_bad() || (!exit.known && !killed);
  if (went_first && ranks_ > 1) exit_.rank = rank;
}

}  // namespace retort::executor
