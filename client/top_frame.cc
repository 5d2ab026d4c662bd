#include "client/top_frame.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/names.h"
#include "client/output.h"
#include "client/progress_display.h"
#include "client/result_text.h"
#include "client/spec_file.h"

namespace retort::client {
namespace {

// Of bars, and below how many columns they are half as long.
constexpr int kUsageWidth = 20;
constexpr int kWide = 100;

// A sum in which the past counts less.
constexpr char kUsage[] = "USAGE (GPU-H)";

// "7" of one's own project, "vision/7" of another.
std::string JobLabel(const std::string& name, absl::string_view project) {
  if (name.empty()) return "-";
  const std::string own = absl::StrCat("projects/", project, "/");
  if (absl::StartsWith(name, own)) return ShortName(name);
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  return parts.size() == 4 ? absl::StrCat(parts[1], "/", parts[3]) : name;
}

std::string Needs(int gpus, int cpus) {
  return gpus > 0 ? Counted(gpus, "GPU") : Counted(cpus, "CPU");
}

// "3/8", and what is used alone without a limit.
std::string OfLimit(int64_t used, int64_t limit) {
  return limit > 0 ? absl::StrCat(used, "/", limit) : absl::StrCat(used);
}

std::string NodesOf(const v1::Job& job) {
  std::set<std::string> nodes;
  for (const v1::JobRank& rank : job.ranks()) {
    if (!rank.node().empty()) nodes.insert(rank.node());
  }
  if (nodes.size() > 3) return absl::StrCat(nodes.size(), " nodes");
  return absl::StrJoin(nodes, ",");
}

std::string Bar(int used, int total, int width) {
  return absl::StrCat(
      ProgressBar(total > 0 ? std::min(1.0, used / double(total)) : 0, width),
      " ", used, "/", total);
}

Table Bars(const v1::Cluster& cluster, int width) {
  const bool gpus =
      std::any_of(cluster.nodes().begin(), cluster.nodes().end(),
                  [](const v1::Node& node) { return node.gpus() > 0; });
  Table table(gpus ? std::vector<std::string>{"NODE", "CPU SLOTS", "GPUS", ""}
                   : std::vector<std::string>{"NODE", "CPU SLOTS", ""});
  for (const v1::Node& node : cluster.nodes()) {
    std::vector<std::string> row = {
        node.name(), Bar(node.cpu_slots_used(), node.cpu_slots(), width)};
    if (gpus) row.push_back(Bar(node.gpus_used(), node.gpus(), width));
    row.push_back(node.state_reason());
    table.Add(std::move(row));
  }
  return table;
}

}  // namespace

std::string ProjectName(absl::string_view project) {
  return absl::StartsWith(project, "projects/")
             ? std::string(project)
             : absl::StrCat("projects/", project);
}

Table QueueTable(const v1::ListQueueResponse& queue, absl::string_view project,
                 absl::Time now) {
  Table table({"JOB", "CLASS", "PRIORITY", "NEEDS", "QUEUED", "WHY"});
  for (const v1::QueueEntry& entry : queue.entries()) {
    table.Add(
        {JobLabel(entry.job(), project), ClassText(entry.priority_class()),
         absl::StrCat(entry.priority()), Needs(entry.gpus(), entry.cpu_slots()),
         Ago(entry.queued_time(), now),
         entry.job().empty() ? "is of a project that you may not look into"
                             : entry.explanation().explanation()});
  }
  return table;
}

Table QuotaTable(const v1::ListQuotasResponse& quotas) {
  Table table({"PROJECT", "WEIGHT", "GPUS", "CPU SLOTS", "JOBS", "QUEUED",
               "GPU-H/MONTH", kUsage});
  for (const v1::Quota& quota : quotas.quotas()) {
    const std::string hours =
        quota.max_gpu_hours() > 0
            ? absl::StrFormat("%.1f/%g", quota.gpu_hours_used(),
                              quota.max_gpu_hours())
            : absl::StrFormat("%.1f", quota.gpu_hours_used());
    table.Add({ShortName(quota.project()),
               absl::StrFormat("%g", quota.weight()),
               OfLimit(quota.gpus_used(), quota.max_gpus()),
               absl::StrCat(quota.cpu_slots_used()),
               OfLimit(quota.running_jobs(), quota.max_jobs()),
               absl::StrCat(quota.queued_jobs()), hours,
               absl::StrFormat("%.1f", quota.usage() / 3600)});
  }
  return table;
}

Table NodeTable(const v1::Cluster& cluster) {
  Table table({"NODE", "CPU SLOTS", "GPUS", "STATE", "OCCUPANTS"});
  for (const v1::Node& node : cluster.nodes()) {
    std::vector<std::string> occupants;
    for (const std::string& name : node.occupants()) {
      occupants.push_back(ShortName(name));
    }
    table.Add({node.name(),
               absl::StrCat(node.cpu_slots_used(), "/", node.cpu_slots()),
               absl::StrCat(node.gpus_used(), "/", node.gpus()),
               node.usable() ? "usable" : node.state_reason(),
               absl::StrJoin(occupants, ", ")});
  }
  return table;
}

Table RunningTable(const std::vector<v1::Job>& jobs,
                   absl::string_view project) {
  Table table({"JOB", "STATE", "CLASS", "STEP", "IMAGES/S", "ETA", "RANKS",
               "NODES", ""});
  for (const v1::Job& job : jobs) {
    const v1::JobProgress& progress = job.progress();
    const auto* state =
        v1::Job::State_descriptor()->FindValueByNumber(job.state());
    table.Add({JobLabel(job.name(), project),
               state == nullptr ? "" : ShortEnumName(*state),
               ClassText(job.priority_class()),
               progress.total_steps() > 0
                   ? absl::StrCat(progress.step(), "/", progress.total_steps())
                   : "",
               progress.images_per_second() > 0
                   ? absl::StrFormat("%.1f", progress.images_per_second())
                   : "",
               progress.has_eta() ? Period(FromProto(progress.eta())) : "",
               absl::StrCat(std::max(1, job.spec().resources().world_size())),
               NodesOf(job), job.state_reason()});
  }
  return table;
}

std::string OthersText(const v1::Cluster& cluster,
                       const v1::ListQuotasResponse& quotas) {
  int jobs = cluster.running_jobs(), cpus = 0, gpus = 0;
  for (const v1::Node& node : cluster.nodes()) {
    cpus += node.cpu_slots_used();
    gpus += node.gpus_used();
  }
  for (const v1::Quota& quota : quotas.quotas()) {
    jobs -= quota.running_jobs();
    cpus -= quota.cpu_slots_used();
    gpus -= quota.gpus_used();
  }
  // Something may have ended between the two answers.
  if (jobs <= 0) return "";
  std::vector<std::string> what;
  if (cpus > 0) what.push_back(Counted(cpus, "CPU slot"));
  if (gpus > 0) what.push_back(Counted(gpus, "GPU"));
  return absl::StrCat(
      Counted(jobs, "job"), " of projects that you may not look into",
      what.empty() ? "" : ": ", absl::StrJoin(what, " and "), "\n");
}

std::string TopFrame(const TopData& data, absl::string_view project,
                     absl::Time now, int columns) {
  const v1::Cluster& cluster = data.cluster;
  std::string frame =
      absl::StrFormat("%s  %d running, %d queued, %s ready",
                      absl::FormatTime("%H:%M:%S", now, absl::LocalTimeZone()),
                      cluster.running_jobs(), cluster.queued_jobs(),
                      Counted(cluster.ready_deployments(), "deployment"));
  const std::string server = absl::StrCat("  retortd ", cluster.version(),
                                          ", executor ", cluster.executor());
  if (frame.size() + server.size() <= static_cast<size_t>(columns)) {
    frame += server;
  }
  absl::StrAppend(&frame, "\n\n",
                  Bars(cluster, columns < kWide ? kUsageWidth / 2 : kUsageWidth)
                      .ToString(columns, {}));
  const std::string others = OthersText(cluster, data.quotas);
  if (!data.running.empty() || !others.empty()) frame += "\nRUNNING\n";
  if (!data.running.empty()) {
    frame += RunningTable(data.running, project)
                 .ToString(columns, {"CLASS", "RANKS", "IMAGES/S", "NODES"});
  }
  frame += others;
  if (data.queue.entries_size() > 0) {
    absl::StrAppend(&frame, "\nQUEUE\n",
                    QueueTable(data.queue, project, now)
                        .ToString(columns, {"PRIORITY", "CLASS", "QUEUED"}));
    const int more = data.queue.total() - data.queue.entries_size();
    if (more > 0) absl::StrAppend(&frame, "and ", more, " more\n");
  }
  if (data.quotas.quotas_size() > 0) {
    absl::StrAppend(&frame, "\nPROJECTS\n",
                    QuotaTable(data.quotas)
                        .ToString(columns, {kUsage, "WEIGHT", "CPU SLOTS"}));
  }
  return frame;
}

std::vector<std::string> CutTo(absl::string_view text, int columns, int rows) {
  const std::vector<absl::string_view> all =
      absl::StrSplit(absl::StripSuffix(text, "\n"), '\n');
  const int room = std::max(rows, 1), count = static_cast<int>(all.size());
  std::vector<std::string> lines(
      all.begin(), all.begin() + (count > room ? room - 1 : count));
  if (count > room) {
    lines.push_back(absl::StrCat("... ", Counted(count - room + 1, "more line"),
                                 "; a larger terminal has room for them"));
  }
  for (std::string& line : lines) {
    if (line.size() > static_cast<size_t>(columns)) line.resize(columns);
  }
  return lines;
}

}  // namespace retort::client
