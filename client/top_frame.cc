#include "client/top_frame.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/names.h"
#include "client/progress_display.h"
#include "client/spec_file.h"

namespace retort::client {
namespace {

constexpr int kUsageWidth = 20;

// "7" of one's own project, "vision/7" of another.
std::string JobLabel(const std::string& name, absl::string_view project) {
  if (name.empty()) return "-";
  const std::string own = absl::StrCat("projects/", project, "/");
  if (absl::StartsWith(name, own)) return ShortName(name);
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  return parts.size() == 4 ? absl::StrCat(parts[1], "/", parts[3]) : name;
}

std::string ClassName(v1::Job::PriorityClass value) {
  const auto* known =
      v1::Job::PriorityClass_descriptor()->FindValueByNumber(value);
  return known == nullptr ? "" : ShortEnumName(*known);
}

std::string Needs(int gpus, int cpus) {
  return gpus > 0 ? absl::StrCat(gpus, " GPU", gpus == 1 ? "" : "s")
                  : absl::StrCat(cpus, " CPU", cpus == 1 ? "" : "s");
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

std::string Bar(int used, int total) {
  return absl::StrCat(
      ProgressBar(total > 0 ? std::min(1.0, used / double(total)) : 0,
                  kUsageWidth),
      " ", used, "/", total);
}

Table Bars(const v1::Cluster& cluster) {
  const bool gpus =
      std::any_of(cluster.nodes().begin(), cluster.nodes().end(),
                  [](const v1::Node& node) { return node.gpus() > 0; });
  Table table(gpus ? std::vector<std::string>{"NODE", "CPU SLOTS", "GPUS", ""}
                   : std::vector<std::string>{"NODE", "CPU SLOTS", ""});
  for (const v1::Node& node : cluster.nodes()) {
    std::vector<std::string> row = {
        node.name(), Bar(node.cpu_slots_used(), node.cpu_slots())};
    if (gpus) row.push_back(Bar(node.gpus_used(), node.gpus()));
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
        {entry.job().empty() ? absl::StrCat(ShortName(entry.project()), "/-")
                             : JobLabel(entry.job(), project),
         ClassName(entry.priority_class()), absl::StrCat(entry.priority()),
         Needs(entry.gpus(), entry.cpu_slots()), Ago(entry.queued_time(), now),
         entry.explanation().explanation()});
  }
  return table;
}

Table QuotaTable(const v1::ListQuotasResponse& quotas) {
  Table table({"PROJECT", "WEIGHT", "GPUS", "CPU SLOTS", "JOBS", "QUEUED",
               "GPU-HOURS", "USAGE"});
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
               absl::StrFormat("%.0f", quota.usage())});
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
               ClassName(job.priority_class()),
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

std::string TopFrame(const TopData& data, absl::string_view project,
                     absl::Time now) {
  const v1::Cluster& cluster = data.cluster;
  std::string frame = absl::StrFormat(
      "retortd %s, executor %s: %d running, %d queued, %d deployments ready  "
      "%s\n\n",
      cluster.version(), cluster.executor(), cluster.running_jobs(),
      cluster.queued_jobs(), cluster.ready_deployments(),
      absl::FormatTime("%H:%M:%S", now, absl::LocalTimeZone()));
  absl::StrAppend(&frame, Bars(cluster).ToString());
  if (!data.running.empty()) {
    absl::StrAppend(&frame, "\nRUNNING\n",
                    RunningTable(data.running, project).ToString());
  }
  if (data.queue.entries_size() > 0) {
    absl::StrAppend(&frame, "\nQUEUE\n",
                    QueueTable(data.queue, project, now).ToString());
    const int more = data.queue.total() - data.queue.entries_size();
    if (more > 0) absl::StrAppend(&frame, "and ", more, " more\n");
  }
  if (data.quotas.quotas_size() > 0) {
    absl::StrAppend(&frame, "\nPROJECTS\n", QuotaTable(data.quotas).ToString());
  }
  return frame;
}

std::string CutTo(absl::string_view text, int columns, int rows) {
  std::string cut;
  int row = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (++row > rows) break;
    if (row > 1) cut += '\n';
    absl::StrAppend(&cut, line.substr(0, std::max(columns, 0)));
  }
  return cut;
}

}  // namespace retort::client
