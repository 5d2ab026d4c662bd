#include "server/scheduler/explain.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "server/base/words.h"
#include "server/scheduler/placement.h"
#include "server/scheduler/planner.h"
#include "server/scheduler/queue_order.h"

namespace retort::scheduler {
namespace {

using service::Are;
using service::Count;

// Waits of less are told in seconds.
constexpr absl::Duration kToldInSeconds = absl::Minutes(2);

// "in 45 s", "at 14:20 UTC", "on 1 Dec at 14:20 UTC"; with "about " before the
// number or the time.
std::string When(absl::Time time, absl::Time now, absl::string_view about) {
  const absl::Duration wait = time - now;
  if (wait < kToldInSeconds) {
    const int64_t seconds = std::max<int64_t>(
        1, absl::ToInt64Seconds(absl::Ceil(wait, absl::Seconds(1))));
    return absl::StrCat("in ", about, seconds, " s");
  }
  const absl::TimeZone utc = absl::UTCTimeZone();
  const std::string day =
      wait < absl::Hours(24)
          ? ""
          : absl::StrCat("on ", absl::ToCivilDay(time, utc).day(),
                         absl::FormatTime(" %b ", time, utc));
  return absl::StrCat(day, "at ", about,
                      absl::FormatTime("%H:%M UTC", time, utc));
}

std::optional<Candidate> Find(const Snapshot& snapshot,
                              absl::string_view name) {
  for (const Claim& claim : snapshot.claims) {
    if (claim.job->name == name) {
      return Candidate{claim.job, claim.project, claim.job_class,
                       claim.job_class, &claim};
    }
  }
  for (const Queue& queue : snapshot.queues) {
    for (const QueuedJob* job : queue.jobs) {
      if (job->name == name) {
        return Candidate{job, queue.project, queue.job_class};
      }
    }
  }
  return std::nullopt;
}

// "4 nodes with 8 free GPUs each (1 now)": the nodes as they would be if all
// were empty.
std::string NodesFor(const Snapshot& snapshot, const Gang& gang) {
  const Placement nodes =
      Place(gang, WholeRoom(snapshot.nodes), Packing::kTight);
  if (nodes.empty()) return "nodes";
  const int ranks = nodes[0].ranks;
  int now = 0;
  for (const Resources& free : FreeRoom(snapshot.nodes)) {
    if (RanksOn(gang, free) >= ranks) ++now;
  }
  const bool on_gpus = gang.per_rank.gpus > 0;
  const int each = ranks * (on_gpus ? gang.per_rank.gpus : gang.per_rank.cpus);
  const std::string what =
      on_gpus ? Count(each, "free GPU") : Count(each, "free CPU slot");
  const auto count = static_cast<int64_t>(nodes.size());
  return absl::StrCat(count == 1 ? "a node" : Count(count, "node"), " with ",
                      what, count == 1 ? "" : " each", " (", now, " now)");
}

// One decision, and what it has to say to each job.
class Explainer {
 public:
  Explainer(const Snapshot& snapshot, const PolicyOptions& options)
      : snapshot_(snapshot),
        options_(options),
        at_limit_(snapshot.projects.size()),
        planner_(snapshot, options,
                 [this](const Candidate& looked_at, Verdict verdict) {
                   verdicts_[looked_at.job] = verdict;
                   if (verdict == Verdict::kQuota) {
                     at_limit_[looked_at.project] = looked_at.job;
                   }
                 }) {
    decision_ = planner_.Run();
  }

  Explanation Make(const Candidate& candidate, int64_t before) {
    candidate_ = candidate;
    result_ = Explanation();
    result_.before = before;
    const auto seen = verdicts_.find(candidate.job);
    const bool looked_at = seen != verdicts_.end();
    if (AtLimit(candidate.project) &&
        (!looked_at || seen->second == Verdict::kQuota)) {
      SayQuota();
    } else if (!looked_at) {
      SayWaits(WaitReason::kBehind);
    } else {
      Say(seen->second);
    }
    return result_;
  }

  // Whether a quota keeps a job of the project from starting, and with it all
  // that come after.
  bool AtLimit(int project) const { return at_limit_[project] != nullptr; }

  // As if each that is tried started: its project's turn comes later.
  int64_t CountBefore(const Candidate& candidate) const {
    QueueOrder order(snapshot_, options_);
    for (size_t i = 0; i < at_limit_.size(); ++i) {
      const int project = static_cast<int>(i);
      if (AtLimit(project) && project != candidate.project) order.Drop(project);
    }
    int64_t before = 0;
    Candidate next;
    while (order.Next(&next) && next.job != candidate.job) {
      if (next.job->not_before > snapshot_.now) continue;
      order.Started(next);
      ++before;
    }
    return before;
  }

 private:
  void Say(Verdict verdict) {
    const QueuedJob& job = *candidate_.job;
    switch (verdict) {
      case Verdict::kStarts:
        result_ = {WaitReason::kStarts, "starts now", result_.before,
                   snapshot_.now};
        return;
      case Verdict::kNever:
        result_.reason = WaitReason::kNever;
        result_.words =
            absl::StrCat("can never start here: ",
                         WhyNever(snapshot_.nodes,
                                  snapshot_.projects[candidate_.project], job)
                             .value_or(""));
        return;
      case Verdict::kNotBefore:
        result_ = {
            WaitReason::kNotBefore,
            absl::StrCat("waits after a failed try; the next one is due ",
                         When(job.not_before, snapshot_.now, "")),
            result_.before, job.not_before};
        return;
      case Verdict::kQuota:
        return SayQuota();
      case Verdict::kNodesDown:
        result_.reason = WaitReason::kNodesDown;
        result_.words =
            absl::StrCat("waits for ", NodesFor(snapshot_, job.gang),
                         "; nodes that it needs are drained or down");
        return;
      case Verdict::kPreempts:
      case Verdict::kPromised:
        return SayStopping();
      case Verdict::kHead:
        return SayWaits(WaitReason::kFirst);
      case Verdict::kNoRoom:
        return SayWaits(WaitReason::kNoRoom);
      case Verdict::kWouldDelay:
        return SayWaits(WaitReason::kBehind);
    }
  }

  void SayQuota() {
    const Project& project = snapshot_.projects[candidate_.project];
    const QueuedJob& blocked = *at_limit_[candidate_.project];
    const QuotaBook& quotas = planner_.quotas();
    result_.reason = WaitReason::kQuota;
    result_.words = absl::StrCat("waits because project ", project.name);
    switch (quotas.Check(candidate_.project, blocked)) {
      case QuotaLimit::kJobs:
        absl::StrAppend(&result_.words, " is at its quota of ",
                        Count(project.quota.max_jobs, "running job"));
        break;
      case QuotaLimit::kGpuHours:
        absl::StrAppend(&result_.words, " has used or promised ",
                        std::llround(quotas.gpu_hours(candidate_.project)),
                        " of its quota of ", project.quota.max_gpu_hours,
                        " GPU-hours a month");
        if (project.quota.renews < absl::InfiniteFuture()) {
          result_.earliest = project.quota.renews;
          absl::StrAppend(&result_.words, ", which is renewed ",
                          When(project.quota.renews, snapshot_.now, ""));
        }
        break;
      default: {
        const int used = quotas.gpus(candidate_.project);
        const int needed = blocked.gang.gpus();
        absl::StrAppend(&result_.words, " is at its quota of ",
                        Count(project.quota.max_gpus, "GPU"), ": ", used,
                        Are(used), "in use and ", needed, Are(needed),
                        "needed");
      }
    }
    if (&blocked != candidate_.job) {
      absl::StrAppend(&result_.words, "; ", blocked.name,
                      " is before it and waits for the same");
    }
  }

  void SayStopping() {
    int64_t stopping = 0;
    for (const Preemption& preemption : decision_.preempt) {
      if (preemption.job == candidate_.job) ++stopping;
    }
    result_.earliest = snapshot_.now + options_.stop_time;
    if (candidate_.claim && stopping == 0) {
      result_.earliest = snapshot_.now;
      for (const RunningGang* gang : snapshot_.running) {
        if (!gang->stopping) continue;
        ++stopping;
        result_.earliest = std::max(result_.earliest, gang->expected_end);
      }
    }
    result_.reason = WaitReason::kStopping;
    result_.words = absl::StrCat(
        "waits for ", Count(stopping, "job"),
        " of a lower class to write a checkpoint and stop; may start ",
        When(result_.earliest, snapshot_.now, "about "));
  }

  void SayWaits(WaitReason reason) {
    result_.reason = reason;
    const Gang& gang = candidate_.job->gang;
    result_.words = absl::StrCat("waits for ", NodesFor(snapshot_, gang));
    if (reason == WaitReason::kFirst) {
      absl::StrAppend(&result_.words, "; it is first in line");
      result_.earliest = planner_.reservation()->start;
    } else {
      absl::StrAppend(&result_.words, "; ", Count(result_.before, "job"),
                      Are(result_.before), "before it");
      const std::optional<Reservation> alone = planner_.ReserveFor(gang);
      if (alone) result_.earliest = alone->start;
      if (reason == WaitReason::kBehind && result_.earliest <= snapshot_.now) {
        absl::StrAppend(&result_.words,
                        "; it would fit now, but the first in line waits for "
                        "that room");
        return;
      }
    }
    if (result_.earliest == absl::InfiniteFuture()) return SayNoPromise(gang);
    const bool first = reason == WaitReason::kFirst;
    absl::StrAppend(
        &result_.words, "; by expected ends it may start ",
        When(result_.earliest, snapshot_.now, first ? "about " : ""),
        first ? "" : " or later");
  }

  // What runs there may run on for ever, as far as anybody has promised.
  void SayNoPromise(const Gang& gang) {
    absl::StrAppend(&result_.words,
                    "; what must end first has no time_limit, so no time is "
                    "promised");
    const auto guess = planner_.ReserveFor(gang, Ends::kEstimated);
    if (!guess || guess->start == absl::InfiniteFuture()) return;
    absl::StrAppend(&result_.words, "; at its present speed it ends ",
                    When(guess->start, snapshot_.now, "about "));
  }

  const Snapshot& snapshot_;
  const PolicyOptions& options_;
  std::unordered_map<const QueuedJob*, Verdict> verdicts_;
  // By project: the job that a quota keeps from starting.
  std::vector<const QueuedJob*> at_limit_;
  Planner planner_;
  Decision decision_;
  // The job that is spoken of, and what is said.
  Candidate candidate_;
  Explanation result_;
};

}  // namespace

absl::StatusOr<Explanation> Explain(const Snapshot& snapshot,
                                    const PolicyOptions& options,
                                    absl::string_view name) {
  const std::optional<Candidate> candidate = Find(snapshot, name);
  if (!candidate) {
    return absl::NotFoundError(absl::StrCat(name, " does not wait"));
  }
  Explainer explainer(snapshot, options);
  return explainer.Make(*candidate, explainer.CountBefore(*candidate));
}

std::vector<QueueEntry> ExplainFirst(const Snapshot& snapshot,
                                     const PolicyOptions& options, int count) {
  Explainer explainer(snapshot, options);
  QueueOrder order(snapshot, options);
  std::vector<QueueEntry> entries;
  // Jobs before the next one: of projects that are not at a limit, and of each
  // that is.
  int64_t tried = 0;
  std::vector<int64_t> held_back(snapshot.projects.size());
  Candidate next;
  while (static_cast<int>(entries.size()) < count && order.Next(&next)) {
    const bool at_limit = explainer.AtLimit(next.project);
    const int64_t before = tried + (at_limit ? held_back[next.project] : 0);
    entries.push_back(
        {next.job, next.project, next.job_class, explainer.Make(next, before)});
    if (next.job->not_before > snapshot.now) continue;
    order.Started(next);
    ++(at_limit ? held_back[next.project] : tried);
  }
  return entries;
}

}  // namespace retort::scheduler
