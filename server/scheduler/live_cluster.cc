#include "server/scheduler/live_cluster.h"

#include <algorithm>
#include <utility>

#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/jobs/timestamps.h"
#include "server/scheduler/job_facts.h"

namespace retort::scheduler {
namespace {

Quota LimitsOf(const ProjectRecord& record) {
  Quota quota;
  if (record.max_gpus > 0) quota.max_gpus = record.max_gpus;
  if (record.max_jobs > 0) quota.max_jobs = record.max_jobs;
  if (record.max_gpu_hours > 0) quota.max_gpu_hours = record.max_gpu_hours;
  return quota;
}

GangRecord RecordOf(const LiveGang& gang) {
  GangRecord record;
  record.job = gang.name;
  record.job_class = gang.job_class;
  record.nodes = gang.nodes;
  record.placed = gang.placed;
  record.start = gang.start;
  record.room_for = gang.room_for;
  if (!gang.room_for.empty()) record.stop_by = gang.stop_by;
  return record;
}

bool SameToThePolicy(const WaitingJob& a, const WaitingJob& b) {
  return a.priority == b.priority && a.job_class == b.job_class &&
         a.not_before == b.not_before;
}

// Whether a worker does, or is about to do, the job's work.
bool Works(jobs::State state) {
  return state == v1::Job::STATE_STARTING || state == v1::Job::STATE_RUNNING;
}

std::vector<Plan::Start> Named(const std::vector<Start>& starts,
                               const Picture& picture) {
  std::vector<Plan::Start> named;
  for (const Start& start : starts) {
    named.push_back(
        {start.job->name, start.job_class, picture.Named(start.nodes)});
  }
  return named;
}

std::vector<LiveClaim>::iterator FindClaim(std::vector<LiveClaim>* claims,
                                           const std::string& job) {
  return std::find_if(
      claims->begin(), claims->end(),
      [&](const LiveClaim& claim) { return claim.job->name == job; });
}

}  // namespace

LiveCluster::LiveCluster(const LiveClusterOptions& options, base::Clock* clock,
                         ClusterStore* store)
    : options_(options),
      clock_(clock),
      store_(store),
      state_({options.half_life, options.policy.gpus_per_cpu}) {}

absl::Status LiveCluster::Load() {
  RETORT_ASSIGN_OR_RETURN(const std::vector<ProjectRecord> projects,
                          store_->ListProjects());
  RETORT_ASSIGN_OR_RETURN(const auto drained, store_->ListDrained());
  RETORT_ASSIGN_OR_RETURN(std::vector<GangRecord> gangs, store_->ListGangs());
  RETORT_ASSIGN_OR_RETURN(std::vector<ClaimRecord> claims,
                          store_->ListClaims());
  absl::MutexLock lock(&mutex_);
  for (const ProjectRecord& project : projects) {
    state_.SetProject(project.name, project.weight, LimitsOf(project),
                      project.usage);
  }
  for (const auto& [node, reason] : drained) state_.Drain(node, reason);
  for (GangRecord& gang : gangs) {
    const std::string job = gang.job;
    stored_gangs_[job] = std::move(gang);
  }
  stored_claims_ = std::move(claims);
  return absl::OkStatus();
}

void LiveCluster::ForgetUnfollowed() {
  ClusterStore::Change change;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [job, gang] : stored_gangs_) {
      change.gone_gangs.push_back(job);
    }
    for (const ClaimRecord& claim : stored_claims_) {
      change.gone_claims.push_back(claim.job);
    }
    stored_gangs_.clear();
    stored_claims_.clear();
  }
  WriteDown(change);
}

void LiveCluster::SetNodes(std::vector<NodeFacts> nodes) {
  absl::MutexLock lock(&mutex_);
  state_.SetNodes(std::move(nodes));
}

void LiveCluster::WriteDown(const ClusterStore::Change& change) {
  const absl::Status written = store_->Write(change);
  if (!written.ok()) {
    RETORT_LOG(error, "the cluster's state is not written: {}",
               written.ToString());
  }
}

void LiveCluster::NoteUsage(const std::string& project,
                            ClusterStore::Change* change) {
  const int index = state_.ProjectIndex(project, clock_->Now());
  change->usage[project] = state_.projects()[index].usage.record();
}

void LiveCluster::Follow(const jobs::JobRecord& record, bool has_process,
                         absl::Time not_before) {
  ClusterStore::Change change;
  {
    absl::MutexLock lock(&mutex_);
    const std::string& name = record.job.name();
    if (has_process) {
      DropWaiting(name, &change);
      FollowGang(record, &change);
    } else {
      DropGang(name, &change);
      if (record.job.state() == v1::Job::STATE_QUEUED) {
        FollowWaiting(record, not_before);
      } else {
        DropWaiting(name, &change);
      }
    }
  }
  WriteDown(change);
}

void LiveCluster::Forget(const std::string& job) {
  ClusterStore::Change change;
  {
    absl::MutexLock lock(&mutex_);
    DropGang(job, &change);
    DropWaiting(job, &change);
  }
  WriteDown(change);
}

LiveGang LiveCluster::NewGang(const WaitingJob& job) const {
  LiveGang gang = ToGang(job, clock_->Now());
  gang.placed = !options_.executor_queues;
  return gang;
}

void LiveCluster::FollowGang(const jobs::JobRecord& record,
                             ClusterStore::Change* change) {
  const std::string& name = record.job.name();
  const absl::Time now = clock_->Now();
  LiveGang* gang = state_.FindGang(name);
  if (gang == nullptr) {
    LiveGang found = NewGang(ToWaiting(record));
    const auto stored = stored_gangs_.find(name);
    if (stored != stored_gangs_.end()) {
      found.job_class = stored->second.job_class;
      // One that runs is placed, should the note of it have failed.
      const bool runs = record.running_since != absl::InfinitePast();
      found.placed = stored->second.placed || runs;
      found.start = stored->second.placed || !runs ? stored->second.start
                                                   : record.running_since;
      found.nodes = stored->second.nodes;
      found.room_for = stored->second.room_for;
      found.stopping = !found.room_for.empty();
      if (found.stopping) found.stop_by = stored->second.stop_by;
      stored_gangs_.erase(stored);
      state_.RestoreGang(std::move(found));
    } else {
      found.nodes = state_.GuessPlacement(found.gang);
      change->gangs.push_back(RecordOf(found));
      state_.PutGang(std::move(found), now);
      NoteUsage(ProjectOf(record.job), change);
    }
    gang = state_.FindGang(name);
  }
  if (!Works(record.job.state()) && !gang->stopping) {
    gang->stopping = true;
    gang->stop_by = now + options_.policy.stop_time;
  }
}

void LiveCluster::DropGang(const std::string& job,
                           ClusterStore::Change* change) {
  const LiveGang* gang = state_.FindGang(job);
  if (gang == nullptr) return;
  const std::string project = gang->project;
  state_.RemoveGang(job, clock_->Now());
  change->gone_gangs.push_back(job);
  NoteUsage(project, change);
}

void LiveCluster::FollowWaiting(const jobs::JobRecord& record,
                                absl::Time not_before) {
  const absl::Time now = clock_->Now();
  auto job = std::make_shared<WaitingJob>(ToWaiting(record));
  job->not_before = not_before;
  job->since = record.job.attempts() == 0
                   ? jobs::FromTimestamp(record.job.create_time())
                   : now;
  std::shared_ptr<const WaitingJob>& known = waiting_[job->name];
  if (known != nullptr) {
    // An equal one stays where it is, and keeps its age.
    if (SameToThePolicy(*known, *job)) return;
    job->since = known->since;
    const auto claim = FindClaim(state_.claims(), job->name);
    if (claim != state_.claims()->end()) {
      claim->job = known = std::move(job);
      return;
    }
    state_.Dequeue(*known, now);
  }
  known = job;
  const auto stored = std::find_if(
      stored_claims_.begin(), stored_claims_.end(),
      [&](const ClaimRecord& claim) { return claim.job == job->name; });
  if (stored == stored_claims_.end()) {
    state_.Enqueue(std::move(job), now);
    return;
  }
  state_.claims()->push_back(
      {std::move(job), stored->job_class, stored->nodes});
  stored_claims_.erase(stored);
}

void LiveCluster::DropWaiting(const std::string& job,
                              ClusterStore::Change* change) {
  const auto found = waiting_.find(job);
  if (found == waiting_.end()) return;
  const auto claim = FindClaim(state_.claims(), job);
  if (claim != state_.claims()->end()) {
    state_.claims()->erase(claim);
    change->gone_claims.push_back(job);
  } else {
    state_.Dequeue(*found->second, clock_->Now());
  }
  waiting_.erase(found);
}

void LiveCluster::SetCheckpoint(const std::string& job, absl::Time time) {
  absl::MutexLock lock(&mutex_);
  LiveGang* gang = state_.FindGang(job);
  if (gang != nullptr) gang->last_checkpoint = time;
}

void LiveCluster::SetEstimatedEnd(const std::string& job, absl::Time time) {
  absl::MutexLock lock(&mutex_);
  LiveGang* gang = state_.FindGang(job);
  // Those that may be asked to stop are those that train.
  if (gang != nullptr && gang->preemptible) gang->estimated_end = time;
}

void LiveCluster::Place(const std::string& job) {
  ClusterStore::Change change;
  {
    absl::MutexLock lock(&mutex_);
    const LiveGang* gang = state_.FindGang(job);
    if (gang == nullptr || gang->placed) return;
    state_.PlaceGang(job, clock_->Now());
    change.gangs.push_back(RecordOf(*gang));
    NoteUsage(gang->project, &change);
  }
  WriteDown(change);
}

void LiveCluster::Moved(const std::string& job,
                        const std::vector<std::string>& nodes) {
  ClusterStore::Change change;
  {
    absl::MutexLock lock(&mutex_);
    LiveGang* gang = state_.FindGang(job);
    if (gang == nullptr || nodes.empty()) return;
    // As evenly as can be, the first ones more: as `srun` distributes tasks.
    NamedPlacement moved;
    const int count = static_cast<int>(nodes.size());
    for (int i = 0; i < count; ++i) {
      const int ranks =
          gang->gang.ranks / count + (i < gang->gang.ranks % count ? 1 : 0);
      if (ranks > 0) moved.emplace_back(nodes[i], ranks);
    }
    if (gang->nodes == moved) return;
    gang->nodes = std::move(moved);
    change.gangs.push_back(RecordOf(*gang));
  }
  WriteDown(change);
}

Plan LiveCluster::Decide() const {
  absl::MutexLock lock(&mutex_);
  const Picture picture(state_, clock_->Now());
  const Decision decision =
      scheduler::Decide(picture.snapshot(), options_.policy);
  Plan plan;
  plan.start = Named(decision.start, picture);
  plan.promise = Named(decision.promise, picture);
  for (const Preemption& preemption : decision.preempt) {
    plan.stop.push_back({preemption.victim->name, preemption.job->name});
  }
  for (const Refusal& refusal : decision.refuse) {
    plan.refuse.push_back({refusal.job->name, refusal.reason});
  }
  plan.wake = decision.wake;
  return plan;
}

ClusterStore::Change LiveCluster::ChangeFor(const Plan& plan) const {
  const absl::Time now = clock_->Now();
  ClusterStore::Change change;
  for (const Plan::Start& start : plan.start) {
    const auto job = waiting_.find(start.job);
    if (job == waiting_.end()) continue;
    LiveGang gang = NewGang(*job->second);
    gang.job_class = start.job_class;
    gang.nodes = start.nodes;
    change.gangs.push_back(RecordOf(gang));
    change.gone_claims.push_back(start.job);
    // What was used until now, by what ran until now.
    for (const LiveProject& project : state_.projects()) {
      if (project.name != gang.project) continue;
      change.usage[gang.project] = state_.UsageOf(project, now);
    }
  }
  for (const Plan::Stop& stop : plan.stop) {
    const auto found = state_.gangs().find(stop.victim);
    if (found == state_.gangs().end()) continue;
    LiveGang victim = found->second;
    victim.room_for = stop.job;
    victim.stop_by = now + options_.policy.stop_time;
    change.gangs.push_back(RecordOf(victim));
  }
  for (const Plan::Start& promise : plan.promise) {
    change.claims.push_back({promise.job, promise.job_class, promise.nodes});
  }
  return change;
}

void LiveCluster::Apply(const Plan& plan) {
  const absl::Time now = clock_->Now();
  std::vector<LiveClaim>& claims = *state_.claims();
  for (const Plan::Start& start : plan.start) {
    const auto found = waiting_.find(start.job);
    if (found == waiting_.end()) continue;
    LiveGang gang = NewGang(*found->second);
    gang.job_class = start.job_class;
    gang.nodes = start.nodes;
    const auto claim = FindClaim(&claims, start.job);
    if (claim != claims.end()) {
      claims.erase(claim);
    } else {
      state_.Dequeue(*found->second, now);
    }
    waiting_.erase(found);
    state_.PutGang(std::move(gang), now);
  }
  for (const Plan::Stop& stop : plan.stop) {
    LiveGang* victim = state_.FindGang(stop.victim);
    if (victim == nullptr) continue;
    victim->stopping = true;
    victim->stop_by = now + options_.policy.stop_time;
    victim->room_for = stop.job;
  }
  for (const Plan::Start& promise : plan.promise) {
    const auto found = waiting_.find(promise.job);
    if (found == waiting_.end()) continue;
    const auto claim = FindClaim(&claims, promise.job);
    if (claim != claims.end()) {
      claim->nodes = promise.nodes;
      continue;
    }
    state_.Dequeue(*found->second, now);
    claims.push_back({found->second, promise.job_class, promise.nodes});
  }
}

absl::Status LiveCluster::Commit(const Plan& plan) {
  ClusterStore::Change change;
  {
    absl::MutexLock lock(&mutex_);
    change = ChangeFor(plan);
  }
  RETORT_RETURN_IF_ERROR(store_->Write(change));
  absl::MutexLock lock(&mutex_);
  Apply(plan);
  return absl::OkStatus();
}

std::vector<std::string> LiveCluster::Gangs() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> names;
  for (const auto& [name, gang] : state_.gangs()) names.push_back(name);
  return names;
}

std::string LiveCluster::MakesRoomFor(const std::string& job) const {
  absl::MutexLock lock(&mutex_);
  const auto found = state_.gangs().find(job);
  return found == state_.gangs().end() ? "" : found->second.room_for;
}

ClusterState LiveCluster::Copy() const {
  absl::MutexLock lock(&mutex_);
  return state_;
}

std::optional<std::string> LiveCluster::WhyNever(const WaitingJob& job) const {
  std::vector<Node> nodes;
  Project project;
  project.name = job.project;
  {
    absl::MutexLock lock(&mutex_);
    for (const NodeFacts& facts : state_.nodes()) {
      nodes.push_back({facts.name, facts.total, facts.total, facts.usable});
    }
    for (const LiveProject& live : state_.projects()) {
      if (live.name == job.project) project.quota = live.limits;
    }
  }
  // A cluster of which nothing is known yet may have anything.
  if (nodes.empty()) return std::nullopt;
  return scheduler::WhyNever(nodes, project, job);
}

absl::StatusOr<ProjectRecord> LiveCluster::UpdateProject(
    const std::string& name, const std::string& etag,
    absl::FunctionRef<absl::Status(ProjectRecord*)> change) {
  absl::MutexLock changing(&change_mutex_);
  RETORT_ASSIGN_OR_RETURN(ProjectRecord record,
                          store_->UpdateProject(name, etag, change));
  absl::MutexLock lock(&mutex_);
  state_.SetProject(name, record.weight, LimitsOf(record), record.usage);
  return record;
}

absl::Status LiveCluster::DrainNode(const std::string& node,
                                    const std::string& reason, bool undo) {
  absl::MutexLock changing(&change_mutex_);
  std::string why = reason;
  {
    absl::MutexLock lock(&mutex_);
    const std::vector<NodeFacts> nodes = state_.nodes();
    if (std::none_of(nodes.begin(), nodes.end(), [&](const NodeFacts& facts) {
          return facts.name == node;
        })) {
      return service::NotFound("node", node);
    }
    if (why.empty()) why = state_.DrainReason(node);
  }
  RETORT_RETURN_IF_ERROR(undo ? store_->Undrain(node)
                              : store_->Drain(node, why));
  absl::MutexLock lock(&mutex_);
  undo ? state_.Undrain(node) : state_.Drain(node, why);
  return absl::OkStatus();
}

}  // namespace retort::scheduler
