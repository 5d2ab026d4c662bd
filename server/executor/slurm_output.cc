#include "server/executor/slurm_output.h"

#include <signal.h>
#include <string.h>

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace retort::executor::slurm {

// The name last: it may hold anything.
const char kQueueFormat[] = "--format=%i|%T|%r|%N|%j";
const char kLogMark[] = "retort: slurm job ";

namespace {

// Shells give a process that a signal killed this much and the signal.
constexpr int kShellSignal = 128;
constexpr int kMaxSignal = 64;
// The "signal" of a job whose log file could not be opened.
constexpr int kNoLogFile = 53;

std::string NoneToEmpty(absl::string_view value) {
  const bool none = value == "None" || value == "(null)" || value == "N/A" ||
                    value == "None assigned";
  return none ? "" : std::string(value);
}

// The values of "Name=value Other=value ...". Values may hold spaces, names
// none: what has no '=' belongs to the value before it.
std::map<std::string, std::string> Fields(absl::string_view line) {
  std::map<std::string, std::string> fields;
  std::string* last = nullptr;
  for (absl::string_view word : absl::StrSplit(line, ' ', absl::SkipEmpty())) {
    const size_t equals = word.find('=');
    if (equals == absl::string_view::npos) {
      if (last != nullptr) absl::StrAppend(last, " ", word);
      continue;
    }
    // The first of a name is the one: a later one may be of a comment.
    const auto added = fields.emplace(std::string(word.substr(0, equals)),
                                      std::string(word.substr(equals + 1)));
    last = &added.first->second;
  }
  return fields;
}

// "3:0": exit code and signal.
void ReadExitCode(absl::string_view text, JobInfo* job) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  if (!absl::SimpleAtoi(parts.first, &job->code)) job->code = 0;
  if (!absl::SimpleAtoi(parts.second, &job->signal)) job->signal = 0;
}

int Number(const std::map<std::string, std::string>& fields,
           const std::string& name) {
  int value = 0;
  const auto found = fields.find(name);
  if (found == fields.end() || !absl::SimpleAtoi(found->second, &value)) {
    return 0;
  }
  return value;
}

std::string Text(const std::map<std::string, std::string>& fields,
                 const std::string& name) {
  const auto found = fields.find(name);
  return found == fields.end() ? "" : NoneToEmpty(found->second);
}

// GPUs of "gpu:a800:8(S:0-1),gpu:2,nic:1".
int GpusOf(absl::string_view gres) {
  // Commas in parentheses are no separators: "gpu:8(IDX:0,2)".
  int gpus = 0, depth = 0;
  std::string item;
  const auto add = [&] {
    const absl::string_view plain =
        absl::string_view(item).substr(0, item.find('('));
    const std::vector<absl::string_view> parts = absl::StrSplit(plain, ':');
    int count = 1;
    if (parts.size() > 1 && !absl::SimpleAtoi(parts.back(), &count)) count = 1;
    if (parts.front() == "gpu") gpus += count;
    item.clear();
  };
  for (const char c : gres) {
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (c == ',' && depth == 0) {
      add();
    } else {
      item += c;
    }
  }
  add();
  return gpus;
}

// Whether one of a node's states, "IDLE+DRAIN", begins like one of `words`; a
// mark behind it, "DOWN*", says that the node does not answer.
bool HasState(absl::string_view state,
              std::initializer_list<absl::string_view> words) {
  for (const absl::string_view one : absl::StrSplit(state, '+')) {
    for (const absl::string_view word : words) {
      if (absl::StartsWith(one, word)) return true;
    }
  }
  return false;
}

bool IsLost(absl::string_view state) {
  return absl::StrContains(state, '*') ||
         HasState(state, {"DOWN", "FAIL", "NOT_RESPONDING"});
}

// Nothing starts there. One that is powered down to save energy is started by
// Slurm for the job that needs it.
bool IsUsable(absl::string_view state) {
  return !IsLost(state) && !HasState(state, {"DRAIN", "UNKNOWN", "FUTURE",
                                             "INVALID_REG", "MAINT"});
}

// "Killed", "Segmentation fault (core dumped)".
int SignalOf(absl::string_view words) {
  for (int signal = 1; signal < kMaxSignal; ++signal) {
    const char* name = strsignal(signal);
    if (name != nullptr && absl::StartsWith(words, name)) return signal;
  }
  return 0;
}

// "srun: error: n2: task 1: Killed", "srun: error: n1: tasks 0-3: Exited with
// exit code 1".
std::optional<RankFailure> ParseFailure(absl::string_view line) {
  if (!absl::ConsumePrefix(&line, "srun: error: ")) return std::nullopt;
  const std::vector<absl::string_view> parts =
      absl::StrSplit(line, absl::MaxSplits(": ", 2));
  if (parts.size() < 3) return std::nullopt;
  absl::string_view ranks = parts[1];
  if (!absl::ConsumePrefix(&ranks, "task ") &&
      !absl::ConsumePrefix(&ranks, "tasks ")) {
    return std::nullopt;
  }
  RankFailure failure;
  failure.node = std::string(parts[0]);
  // The first of "0-3" or "1,5".
  const absl::string_view first = ranks.substr(0, ranks.find_first_of(",-"));
  if (!absl::SimpleAtoi(first, &failure.rank)) return std::nullopt;
  absl::string_view words = parts[2];
  if (absl::ConsumePrefix(&words, "Exited with exit code ")) {
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(words), &failure.code)) {
      return std::nullopt;
    }
  } else if (absl::StartsWith(words, "Out Of Memory")) {
    failure.signal = SIGKILL;
  } else {
    failure.signal = SignalOf(words);
    if (failure.signal == 0) return std::nullopt;
  }
  return failure;
}

// "Slurm: NODE_FAIL (n2: DOWN+NOT_RESPONDING, Not responding)".
std::string Words(const std::string& state, const JobInfo& job,
                  const std::vector<NodeInfo>& lost) {
  std::vector<std::string> details;
  for (const NodeInfo& node : lost) {
    absl::string_view why = node.reason;
    absl::ConsumePrefix(&why, "Slurm: ");
    details.push_back(absl::StrCat("node ", node.name, ": ", why));
  }
  if (details.empty() && !job.reason.empty()) details.push_back(job.reason);
  if (!job.by.empty()) details.push_back(absl::StrCat("by ", job.by));
  return absl::StrCat(
      "Slurm: ", state,
      details.empty() ? ""
                      : absl::StrCat(" (", absl::StrJoin(details, "; "), ")"));
}

// The exit code or signal of one rank, or of the batch script: srun passes
// the highest code on, and a signal as shells do.
void SetCode(const JobInfo& job, const std::optional<RankFailure>& failure,
             ExitStatus* exit) {
  if (failure.has_value()) {
    exit->rank = failure->rank;
    exit->node = failure->node;
    exit->code = failure->code;
    exit->signal = failure->signal;
    return;
  }
  exit->code = job.code;
  exit->signal = job.signal;
  if (job.signal == 0 && job.code > kShellSignal &&
      job.code <= kShellSignal + kMaxSignal) {
    exit->code = 0;
    exit->signal = job.code - kShellSignal;
  }
}

}  // namespace

std::vector<QueueRow> ParseQueue(absl::string_view text) {
  std::vector<QueueRow> rows;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> parts =
        absl::StrSplit(line, absl::MaxSplits('|', 4));
    QueueRow row;
    if (parts.size() != 5 || !absl::SimpleAtoi(parts[0], &row.id)) continue;
    row.state = parts[1];
    row.reason = NoneToEmpty(parts[2]);
    row.nodes = parts[3];
    row.name = parts[4];
    rows.push_back(std::move(row));
  }
  return rows;
}

absl::StatusOr<JobInfo> ParseJob(absl::string_view line) {
  const auto fields = Fields(absl::StripAsciiWhitespace(line));
  JobInfo job;
  job.state = Text(fields, "JobState");
  if (job.state.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("scontrol show job printed no job: ", line));
  }
  job.reason = Text(fields, "Reason");
  job.restarts = Number(fields, "Restarts");
  job.log_path = Text(fields, "StdOut");
  job.placed =
      fields.count("NodeList") == 0 || !Text(fields, "NodeList").empty();
  const auto exit = fields.find("ExitCode");
  if (exit != fields.end()) ReadExitCode(exit->second, &job);
  return job;
}

std::optional<JobInfo> ParseAccount(absl::string_view text) {
  JobInfo job;
  // The last line is the newest run of a job that was requeued.
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> parts = absl::StrSplit(line, '|');
    if (parts.size() != 3) continue;
    absl::string_view state = parts[0];
    const size_t space = state.find(" by ");
    job.by = space == absl::string_view::npos
                 ? ""
                 : absl::StrCat("uid ", state.substr(space + 4));
    job.state = std::string(state.substr(0, space));
    ReadExitCode(parts[1], &job);
    job.placed = !NoneToEmpty(parts[2]).empty();
  }
  if (job.state.empty()) return std::nullopt;
  return job;
}

std::vector<NodeInfo> ParseNodes(absl::string_view text) {
  std::vector<NodeInfo> nodes;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const auto fields = Fields(line);
    NodeInfo node;
    node.name = Text(fields, "NodeName");
    if (node.name.empty()) continue;
    node.cpus = Number(fields, "CPUTot");
    node.gpus = GpusOf(Text(fields, "Gres"));
    const std::string state = Text(fields, "State");
    node.usable = IsUsable(state);
    node.lost = IsLost(state);
    if (!node.usable) {
      std::string reason = Text(fields, "Reason");
      // "Not responding [root@2026-11-29T16:16:25]"
      reason = reason.substr(0, reason.rfind(" ["));
      node.reason =
          absl::StrCat("Slurm: ", state, reason.empty() ? "" : ", ", reason);
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
}

absl::StatusOr<int64_t> ParseSubmitted(absl::string_view text) {
  // "1234" or "1234;cluster".
  const absl::string_view number =
      absl::StripAsciiWhitespace(text.substr(0, text.find(';')));
  int64_t id = 0;
  if (!absl::SimpleAtoi(number, &id) || id <= 0) {
    return absl::InternalError(
        absl::StrCat("sbatch printed no job id: \"", text, "\""));
  }
  return id;
}

absl::Status SubmitError(absl::string_view stderr_text) {
  std::vector<std::string> lines;
  for (absl::string_view line :
       absl::StrSplit(stderr_text, '\n', absl::SkipEmpty())) {
    absl::ConsumePrefix(&line, "sbatch: ");
    absl::ConsumePrefix(&line, "error: ");
    absl::ConsumePrefix(&line, "Batch job submission failed: ");
    lines.emplace_back(line);
  }
  const std::string message = absl::StrCat(
      "Slurm: ", lines.empty() ? "sbatch failed" : absl::StrJoin(lines, "; "));
  for (const absl::string_view down :
       {"nable to contact slurm controller", "Socket timed out",
        "Zero Bytes were transmitted", "in standby mode", "Connection refused",
        "Transport endpoint", "Communication connection",
        "Unexpected message received", "Protocol authentication error", "munge",
        "Munge"}) {
    if (absl::StrContains(stderr_text, down)) {
      return absl::UnavailableError(message);
    }
  }
  for (const absl::string_view full :
       {"temporarily unable to accept job", "Resource temporarily unavailable",
        "Job violates accounting/QOS policy", "job submit limit",
        "AssocMaxSubmitJobLimit", "QOSMaxSubmitJobPerUserLimit"}) {
    if (absl::StrContains(stderr_text, full)) {
      return absl::ResourceExhaustedError(message);
    }
  }
  return absl::InvalidArgumentError(message);
}

Phase PhaseOf(const JobInfo& job) {
  const std::string& state = job.state;
  if (state == "REQUEUED" || state == "REQUEUE_HOLD" ||
      state == "REQUEUE_FED" || state == "SPECIAL_EXIT") {
    return Phase::kRequeued;
  }
  // Its script ends a second run at once; no rank is left of the first.
  const bool again = job.restarts > 0;
  if (state == "PENDING" || state == "CONFIGURING") {
    return again ? Phase::kRequeued : Phase::kWaiting;
  }
  // Even of one that will be requeued something may still run.
  if (state == "COMPLETING") return Phase::kRunning;
  for (const char* running : {"RUNNING", "SUSPENDED", "STOPPED", "RESIZING",
                              "SIGNALING", "STAGE_OUT"}) {
    if (state == running) return again ? Phase::kRequeued : Phase::kRunning;
  }
  return Phase::kEnded;
}

std::optional<RankFailure> FirstFailure(absl::string_view log, int64_t id) {
  const size_t mark = log.rfind(absl::StrCat(kLogMark, id, " "));
  if (mark != absl::string_view::npos) log.remove_prefix(mark);
  std::optional<RankFailure> peers_lost;
  for (const absl::string_view line : absl::StrSplit(log, '\n')) {
    const std::optional<RankFailure> failure = ParseFailure(line);
    if (!failure.has_value()) continue;
    if (failure->code != kPeersLostExitCode) return failure;
    // It may end, and be told of, before the one that it lost.
    if (!peers_lost.has_value()) peers_lost = failure;
  }
  return peers_lost;
}

ExitStatus ExitOf(const JobInfo& job, const std::optional<RankFailure>& failure,
                  const std::vector<NodeInfo>& lost, const Asked& asked) {
  ExitStatus exit;
  const std::string& state = job.state;
  const bool requeued = job.restarts > 0 || PhaseOf(job) == Phase::kRequeued;
  if (requeued) {
    exit.known = false;
    exit.lost_node = true;
    exit.words = Words("requeued the job", JobInfo(), lost);
  } else if (state == "COMPLETED") {
    // Exit code 0.
  } else if (state == "CANCELLED" && !job.placed &&
             (asked.withdraw || asked.kill)) {
    exit.known = false;
    exit.lost_node = true;
    exit.words = "Slurm: cancelled while it waited in the queue";
  } else if (asked.kill) {
    exit.signal = SIGKILL;
    // It was killed because nothing was heard of it: now it is known why.
    exit.lost_node = !lost.empty();
    if (exit.lost_node) exit.words = Words(state, JobInfo(), lost);
  } else if (state == "FAILED" && job.signal == kNoLogFile) {
    exit.known = false;
    exit.words = absl::StrCat(
        "Slurm: the node could not open ", job.log_path,
        "; is data_dir on a file system that all nodes have at this path?");
  } else if (state == "FAILED" || state == "OUT_OF_MEMORY") {
    SetCode(job, failure, &exit);
    exit.lost_node = !lost.empty();
    if (exit.lost_node || state != "FAILED") {
      exit.words = Words(state, JobInfo(), lost);
    }
    if (state == "OUT_OF_MEMORY" && exit.signal == 0) exit.signal = SIGKILL;
  } else {
    exit.known = false;
    exit.words = Words(state, job, lost);
    exit.time_limit = state == "TIMEOUT" || state == "DEADLINE";
    exit.cancelled = state == "CANCELLED";
    exit.lost_node = !exit.time_limit && !exit.cancelled;
  }
  return exit;
}

}  // namespace retort::executor::slurm
