#include "server/scheduler/gang_ranks.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/jobs/timestamps.h"

namespace retort::scheduler {
namespace {

std::string Seconds(absl::Duration duration) {
  return absl::StrCat(absl::ToInt64Seconds(duration), " s");
}

}  // namespace

GangRanks::GangRanks(int count, bool assigned) : ranks_(std::max(count, 1)) {
  for (Rank& rank : ranks_) rank.assigned = assigned;
}

void GangRanks::Attach(const internal::v1::Hello& hello,
                       std::shared_ptr<executor::WorkerSession> session,
                       absl::Time now) {
  Rank& rank = ranks_[hello.rank()];
  rank.session = std::move(session);
  rank.assigned = hello.resumed();
  rank.node = hello.host();
  rank.pid = hello.pid();
  rank.heard = now;
}

void GangRanks::Hear(int rank, const internal::v1::AttachRequest& message,
                     absl::Time now) {
  Rank& heard = ranks_[rank];
  heard.heard = now;
  if (message.has_progress()) {
    heard.step = message.progress().progress().step();
  }
  if (!message.has_heartbeat()) return;
  const internal::v1::Heartbeat& beat = message.heartbeat();
  heard.step = beat.step();
  heard.activity = beat.activity();
  heard.waiting = beat.waiting();
  heard.active_since = now - absl::Milliseconds(beat.activity_ms());
}

std::vector<int> GangRanks::Unassigned() const {
  std::vector<int> result;
  for (int i = 0; i < count(); ++i) {
    if (ranks_[i].session != nullptr && !ranks_[i].assigned) {
      result.push_back(i);
    }
  }
  return result;
}

bool GangRanks::AnyAttached() const {
  return std::any_of(ranks_.begin(), ranks_.end(),
                     [](const Rank& rank) { return rank.session != nullptr; });
}

bool GangRanks::AllPresent() const {
  return std::all_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) {
    return rank.session != nullptr || rank.ended;
  });
}

bool GangRanks::AllAssigned() const {
  return std::all_of(ranks_.begin(), ranks_.end(),
                     [](const Rank& rank) { return rank.assigned; });
}

void GangRanks::SendToAll(const internal::v1::AttachResponse& response) const {
  for (const Rank& rank : ranks_) {
    if (rank.session != nullptr) rank.session->Send(response);
  }
}

std::string GangRanks::Describe(int rank) const {
  const Rank& described = ranks_[rank];
  return absl::StrCat(
      "rank ", rank,
      described.node.empty() ? "" : absl::StrCat(" on ", described.node),
      described.pid == 0 ? "" : absl::StrCat(" (pid ", described.pid, ")"));
}

absl::Time GangRanks::SilentAt(const HangOptions& options, const Rank& rank) {
  if (rank.session == nullptr || rank.ended) return absl::InfiniteFuture();
  return rank.heard + options.silence;
}

absl::Time GangRanks::StalledAt(const HangOptions& options, const Rank& rank) {
  const bool judged = rank.session != nullptr && !rank.ended &&
                      !rank.activity.empty() && !rank.waiting;
  return judged ? rank.active_since + options.stall : absl::InfiniteFuture();
}

absl::Time GangRanks::DeadlockedAt(const HangOptions& options) const {
  absl::Time since = absl::InfinitePast();
  int waiting = 0;
  for (const Rank& rank : ranks_) {
    if (rank.ended) continue;
    if (rank.session == nullptr || !rank.waiting) return absl::InfiniteFuture();
    since = std::max(since, rank.active_since);
    ++waiting;
  }
  return waiting > 1 ? since + options.stall : absl::InfiniteFuture();
}

std::optional<std::string> GangRanks::FindHanging(const HangOptions& options,
                                                  absl::Time now) const {
  // The first to hang: others may hang because of it.
  int who = 0;
  absl::Time first = absl::InfiniteFuture();
  for (int i = 0; i < count(); ++i) {
    const absl::Time at =
        std::min(SilentAt(options, ranks_[i]), StalledAt(options, ranks_[i]));
    if (at < first) {
      who = i;
      first = at;
    }
  }
  if (const absl::Time all = DeadlockedAt(options);
      all <= std::min(first, now)) {
    std::string text = "all ranks wait for each other: ";
    for (int i = 0; i < count(); ++i) {
      if (ranks_[i].ended) continue;
      absl::StrAppend(&text, Describe(i), " has been in \"", ranks_[i].activity,
                      "\" for ", Seconds(now - ranks_[i].active_since),
                      ", at step ", ranks_[i].step, "; ");
    }
    return absl::StrCat(text, "the network between them, or one of their ",
                        "collectives, does not end");
  }
  if (first > now) return std::nullopt;
  const Rank& rank = ranks_[who];
  if (SilentAt(options, rank) > first) {
    return absl::StrCat(Describe(who), " has been in \"", rank.activity,
                        "\" for ", Seconds(now - rank.active_since),
                        ", at step ", rank.step);
  }
  return absl::StrCat(Describe(who), " has not been heard of for ",
                      Seconds(now - rank.heard), "; last at step ", rank.step,
                      rank.activity.empty()
                          ? ""
                          : absl::StrCat(", in \"", rank.activity, "\""));
}

absl::Time GangRanks::NextHang(const HangOptions& options) const {
  absl::Time next = DeadlockedAt(options);
  for (const Rank& rank : ranks_) {
    next = std::min({next, SilentAt(options, rank), StalledAt(options, rank)});
  }
  return next;
}

void GangRanks::RestartClocks(absl::Time now) {
  for (Rank& rank : ranks_) {
    rank.heard = now;
    rank.active_since = now;
  }
}

std::vector<v1::JobRank> GangRanks::ToMessages() const {
  std::vector<v1::JobRank> messages;
  for (int i = 0; i < count(); ++i) {
    const Rank& rank = ranks_[i];
    v1::JobRank& message = messages.emplace_back();
    message.set_rank(i);
    message.set_node(rank.node);
    message.set_pid(rank.pid);
    message.set_step(rank.step);
    message.set_activity(rank.activity);
    if (rank.heard != absl::InfinitePast()) {
      *message.mutable_heard_time() = jobs::ToTimestamp(rank.heard);
    }
  }
  return messages;
}

}  // namespace retort::scheduler
