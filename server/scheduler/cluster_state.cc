#include "server/scheduler/cluster_state.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/scheduler/placement.h"
#include "server/scheduler/queue_order.h"

namespace retort::scheduler {
namespace {

Resources AllOf(const Gang& gang) { return {gang.gpus(), gang.cpus()}; }

double ChargeOf(const Gang& gang, const ClusterStateOptions& options) {
  PolicyOptions policy;
  policy.gpus_per_cpu = options.gpus_per_cpu;
  return Charge(AllOf(gang), policy);
}

void Hold(const LiveGang& gang, const ClusterStateOptions& options,
          Holdings* held) {
  held->gpus += gang.gang.gpus();
  held->cpus += gang.gang.cpus();
  ++held->jobs;
  if (!gang.placed) return;
  held->gpus_in_use += gang.gang.gpus();
  held->charge += ChargeOf(gang.gang, options);
}

}  // namespace

std::vector<NodeFacts> ClusterState::nodes() const {
  std::vector<NodeFacts> nodes = nodes_;
  for (NodeFacts& node : nodes) {
    const auto drained = drained_.find(node.name);
    if (drained == drained_.end()) continue;
    node.usable = false;
    node.reason =
        absl::StrCat("drained by request", drained->second.empty() ? "" : ": ",
                     drained->second);
  }
  return nodes;
}

std::string ClusterState::DrainReason(const std::string& node) const {
  const auto drained = drained_.find(node);
  return drained == drained_.end() ? "" : drained->second;
}

void ClusterState::SetProject(const std::string& name, double weight,
                              const Quota& limits, const UsageRecord& used) {
  if (project_index_.count(name) == 0) {
    project_index_[name] = static_cast<int>(projects_.size());
    projects_.emplace_back(name, options_.half_life, used);
  }
  LiveProject& project = projects_[project_index_[name]];
  project.weight = weight;
  project.limits = limits;
}

int ClusterState::ProjectIndex(const std::string& name, absl::Time now) {
  const auto found = project_index_.find(name);
  if (found != project_index_.end()) return found->second;
  SetProject(name, 1, Quota(), {0, 0, now});
  return project_index_[name];
}

Holdings ClusterState::HeldBy(const std::string& project) const {
  Holdings held;
  for (const auto& [name, gang] : gangs_) {
    if (gang.project == project) Hold(gang, options_, &held);
  }
  return held;
}

UsageRecord ClusterState::UsageOf(const LiveProject& project,
                                  absl::Time now) const {
  const Holdings held = HeldBy(project.name);
  ProjectUsage usage = project.usage;
  usage.Advance(now, held.charge, held.gpus_in_use);
  return usage.record();
}

void ClusterState::Settle(const std::string& project, absl::Time now) {
  const Holdings held = HeldBy(project);
  projects_[ProjectIndex(project, now)].usage.Advance(now, held.charge,
                                                      held.gpus_in_use);
}

void ClusterState::Enqueue(std::shared_ptr<const WaitingJob> job,
                           absl::Time now) {
  const int project = ProjectIndex(job->project, now);
  const JobClass job_class = job->job_class;
  waiting_.Add(project, job_class, std::move(job), now);
}

void ClusterState::Dequeue(const WaitingJob& job, absl::Time now) {
  waiting_.Remove(ProjectIndex(job.project, now), job.job_class, &job, now);
}

int64_t ClusterState::WaitingOf(const std::string& project) const {
  const auto found = project_index_.find(project);
  if (found == project_index_.end()) return 0;
  return waiting_.size(found->second) +
         std::count_if(claims_.begin(), claims_.end(),
                       [&](const LiveClaim& claim) {
                         return claim.job->project == project;
                       });
}

void ClusterState::PutGang(LiveGang gang, absl::Time now) {
  Settle(gang.project, now);
  RestoreGang(std::move(gang));
}

void ClusterState::RestoreGang(LiveGang gang) {
  ProjectIndex(gang.project, gang.start);
  const std::string name = gang.name;
  gangs_.insert_or_assign(name, std::move(gang));
}

void ClusterState::RemoveGang(const std::string& name, absl::Time now) {
  const auto found = gangs_.find(name);
  if (found == gangs_.end()) return;
  Settle(found->second.project, now);
  gangs_.erase(found);
}

void ClusterState::PlaceGang(const std::string& name, absl::Time now) {
  LiveGang* gang = FindGang(name);
  if (gang == nullptr || gang->placed) return;
  Settle(gang->project, now);
  gang->placed = true;
  gang->start = now;
}

LiveGang* ClusterState::FindGang(const std::string& name) {
  const auto found = gangs_.find(name);
  return found == gangs_.end() ? nullptr : &found->second;
}

NamedPlacement ClusterState::GuessPlacement(const Gang& gang) const {
  const Picture picture(*this, absl::UnixEpoch());
  const absl::Span<const Node> nodes = picture.snapshot().nodes;
  Room room;
  for (const Node& node : nodes) room.push_back(node.free);
  Placement place = Place(gang, room, Packing::kTight);
  if (place.empty()) place = Place(gang, WholeRoom(nodes), Packing::kTight);
  if (place.empty() && !nodes.empty()) place = {{0, gang.ranks}};
  return picture.Named(place);
}

Picture::Picture(const ClusterState& state, absl::Time now) {
  for (const NodeFacts& facts : state.nodes()) {
    node_index_[facts.name] = static_cast<int>(nodes_.size());
    nodes_.push_back({facts.name, facts.total, facts.total, facts.usable});
  }
  AddGangs(state, now);
  AddProjects(state, now);
  for (size_t i = 0; i < gangs_.size(); ++i) running_.push_back(&gangs_[i]);
  queues_ = state.waiting().queues();
  for (const LiveClaim& claim : state.claims()) {
    claims_.push_back({project_index_[claim.job->project], claim.job_class,
                       claim.job.get(), Indexed(claim.nodes)});
  }
  snapshot_ = {now, nodes_, projects_, queues_, claims_, running_};
}

void Picture::AddGangs(const ClusterState& state, absl::Time now) {
  for (const LiveProject& project : state.projects()) {
    const int index = static_cast<int>(project_index_.size());
    project_index_[project.name] = index;
  }
  for (const auto& [name, live] : state.gangs()) {
    RunningGang gang;
    gang.name = name;
    gang.seq = live.seq;
    gang.project = project_index_[live.project];
    gang.job_class = live.job_class;
    gang.per_rank = live.gang.per_rank;
    gang.nodes = Indexed(live.nodes);
    gang.start = live.start;
    gang.expected_end =
        live.stopping ? live.stop_by
                      : (live.placed ? live.start : now) + live.time_limit;
    gang.estimated_end = live.estimated_end;
    gang.preemptible = live.preemptible && !live.stopping;
    gang.stopping = live.stopping;
    // Nothing is lost with one that has not begun.
    gang.last_checkpoint = live.placed ? live.last_checkpoint : now;
    for (const NodeRanks& at : gang.nodes) {
      Resources& free = nodes_[at.node].free;
      free.gpus = std::max(0, free.gpus - at.ranks * gang.per_rank.gpus);
      free.cpus = std::max(0, free.cpus - at.ranks * gang.per_rank.cpus);
    }
    gangs_.push_back(std::move(gang));
  }
}

void Picture::AddProjects(const ClusterState& state, absl::Time now) {
  std::vector<Holdings> held(state.projects().size());
  for (const auto& [name, gang] : state.gangs()) {
    Hold(gang, state.options(), &held[project_index_[gang.project]]);
  }
  for (const LiveProject& live : state.projects()) {
    const Holdings& mine = held[projects_.size()];
    ProjectUsage usage = live.usage;
    usage.Advance(now, mine.charge, mine.gpus_in_use);
    Project project;
    project.name = live.name;
    project.weight = live.weight;
    project.usage = usage.record().fair;
    project.quota = live.limits;
    project.quota.used_gpu_hours = usage.record().gpu_hours;
    project.quota.renews = NextMonth(now);
    projects_.push_back(std::move(project));
  }
}

Placement Picture::Indexed(const NamedPlacement& nodes) const {
  Placement placement;
  for (const auto& [name, ranks] : nodes) {
    const auto found = node_index_.find(name);
    // A node that is not there any more has nothing to give back.
    if (found != node_index_.end()) placement.push_back({found->second, ranks});
  }
  return placement;
}

NamedPlacement Picture::Named(const Placement& nodes) const {
  NamedPlacement named;
  for (const NodeRanks& at : nodes) {
    named.emplace_back(nodes_[at.node].id, at.ranks);
  }
  return named;
}

}  // namespace retort::scheduler
