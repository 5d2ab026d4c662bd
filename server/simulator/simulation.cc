#include "server/simulator/simulation.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <tuple>
#include <utility>

#include "core/base/check.h"

namespace retort::simulator {
namespace {

using scheduler::JobClass;
using scheduler::NodeRanks;
using scheduler::RunningGang;

double ThreadMilliseconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return 1e3 * static_cast<double>(time.tv_sec) +
         1e-6 * static_cast<double>(time.tv_nsec);
}

double WallMilliseconds() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int GpusOf(const RunningGang& gang) {
  int ranks = 0;
  for (const NodeRanks& at : gang.nodes) ranks += at.ranks;
  return ranks * gang.per_rank.gpus;
}

}  // namespace

bool Simulation::Event::operator>(const Event& other) const {
  return std::tie(at, order) > std::tie(other.at, other.order);
}

Simulation::Simulation(const SimulationOptions& options, Workload workload)
    : options_(options),
      workload_(std::move(workload)),
      random_(options.seed),
      states_(workload_.jobs.size()),
      project_gpus_(workload_.projects.size()),
      project_jobs_(workload_.projects.size()),
      waiting_gpus_(workload_.projects.size()),
      urgent_gpus_(workload_.projects.size()),
      start_(workload_.jobs.empty() ? absl::UnixEpoch()
                                    : workload_.jobs[0].submitted),
      now_(start_) {
  for (const SimulatedProject& project : workload_.projects) {
    projects_.push_back(project.project);
    if (options_.one_line) projects_.back().quota = {};
    usage_.emplace_back(options_.half_life, start_);
  }
  for (size_t i = 0; i < workload_.jobs.size(); ++i) {
    SimulatedJob& job = workload_.jobs[i];
    states_[i].limit = job.queued.time_limit;
    if (job.submitted == start_) ++backlog_;
    if (options_.one_line) job.queued.priority = 0;
    Plan(job.submitted, Kind::kArrives, static_cast<int>(i));
  }
  for (const scheduler::Node& node : workload_.nodes) {
    usable_gpus_ += node.total.gpus;
  }
  if (options_.mean_between_failures < absl::InfiniteDuration()) {
    for (size_t i = 0; i < workload_.nodes.size(); ++i) {
      Plan(now_, Kind::kNodeBack, static_cast<int>(i), 1);
    }
  }
  unfinished_ = static_cast<int64_t>(workload_.jobs.size());
  measures_.fair_used.resize(projects_.size());
  hour_ends_ = start_ + absl::Hours(1);
}

void Simulation::Plan(absl::Time at, Kind kind, int index, int run) {
  events_.push({at, planned_++, kind, index, run});
}

int Simulation::JobOf(const scheduler::QueuedJob* job) const {
  return static_cast<int>(job->seq);
}

int Simulation::LineProject(int job) const {
  return options_.one_line ? 0 : workload_.jobs[job].project;
}

JobClass Simulation::LineClass(int job) const {
  return options_.one_line ? JobClass::kNormal : workload_.jobs[job].job_class;
}

Measures Simulation::Run() {
  while (!events_.empty() && unfinished_ > 0) {
    const absl::Time at = events_.top().at;
    if (at - start_ > options_.until) break;
    Advance(at);
    bool news = false;
    while (!events_.empty() && events_.top().at == at) {
      const Event event = events_.top();
      events_.pop();
      if (event.kind == Kind::kDecide && at < next_decision_) continue;
      Handle(event);
      news = true;
    }
    if (!news) continue;
    if (at < last_decision_ + options_.decide_every) {
      const absl::Time next = last_decision_ + options_.decide_every;
      if (next < next_decision_) Plan(next_decision_ = next, Kind::kDecide);
      continue;
    }
    DecideNow();
  }
  measures_.unfinished = unfinished_;
  measures_.makespan = now_ - start_;
  return measures_;
}

void Simulation::Advance(absl::Time to) {
  double weights = 0;
  for (const auto& project : projects_) weights += project.weight;
  bool fair = true;
  for (size_t p = 0; p < projects_.size(); ++p) {
    const double due =
        projects_[p].weight / weights * static_cast<double>(usable_gpus_);
    fair = fair && static_cast<double>(urgent_gpus_[p]) >= due;
  }
  const bool demand = AllowedDemand() >= usable_gpus_;
  while (now_ < to) {
    const absl::Time next = std::min(to, hour_ends_);
    const double seconds = absl::ToDoubleSeconds(next - now_);
    const double used = seconds * static_cast<double>(used_gpus_);
    const double there = seconds * static_cast<double>(usable_gpus_);
    measures_.used += used;
    measures_.there += there;
    hour_used_ += used;
    hour_there_ += there;
    if (demand) {
      measures_.used_in_demand += used;
      measures_.there_in_demand += there;
    }
    for (size_t p = 0; p < projects_.size(); ++p) {
      usage_[p].Advance(next, project_gpus_[p]);
      if (fair) measures_.fair_used[p] += seconds * project_gpus_[p];
    }
    if (fair) measures_.fair_time += next - now_;
    now_ = next;
    if (now_ == hour_ends_) {
      measures_.hourly_used.push_back(hour_used_ / hour_there_);
      measures_.hourly_waiting.push_back(waiting_.size());
      hour_used_ = hour_there_ = 0;
      hour_ends_ += absl::Hours(1);
    }
  }
}

int64_t Simulation::AllowedDemand() const {
  int64_t demand = 0;
  for (size_t p = 0; p < projects_.size(); ++p) {
    const scheduler::Quota& quota = projects_[p].quota;
    if (project_jobs_[p] >= quota.max_jobs) continue;
    demand +=
        std::min<int64_t>(waiting_gpus_[p], quota.max_gpus - project_gpus_[p]);
  }
  return demand;
}

void Simulation::Handle(const Event& event) {
  switch (event.kind) {
    case Kind::kArrives:
      return Submit(event.index);
    case Kind::kEnds:
      if (states_[event.index].run == event.run) EndJob(event.index);
      return;
    case Kind::kStopped:
      if (states_[event.index].run == event.run) Stopped(event.index);
      return;
    case Kind::kNodeFails:
      return FailNode(event.index);
    case Kind::kNodeBack: {
      scheduler::Node& node = workload_.nodes[event.index];
      if (event.run == 0) {
        node.usable = true;
        usable_gpus_ += node.total.gpus;
      }
      std::exponential_distribution<double> wait(
          1 / absl::ToDoubleSeconds(options_.mean_between_failures));
      Plan(now_ + absl::Ceil(absl::Seconds(wait(random_)), absl::Seconds(1)),
           Kind::kNodeFails, event.index);
      return;
    }
    case Kind::kDecide:
      return;
  }
}

void Simulation::Submit(int job) {
  // The workload owns it.
  waiting_.Add(LineProject(job), LineClass(job),
               {std::shared_ptr<void>(), &workload_.jobs[job].queued}, now_);
  CountWaiting(job, 1);
}

void Simulation::Unqueue(int job) {
  waiting_.Remove(LineProject(job), LineClass(job), &workload_.jobs[job].queued,
                  now_);
  CountWaiting(job, -1);
}

void Simulation::CountWaiting(int index, int sign) {
  const SimulatedJob& job = workload_.jobs[index];
  const int gpus = sign * job.queued.gang.gpus();
  waiting_gpus_[job.project] += gpus;
  if (job.job_class >= JobClass::kNormal) urgent_gpus_[job.project] += gpus;
}

scheduler::Snapshot Simulation::MakeSnapshot() {
  RefreshCheckpoints();
  for (size_t p = 0; p < projects_.size(); ++p) {
    projects_[p].usage = usage_[p].value();
  }
  queues_ = waiting_.queues();
  return {now_, workload_.nodes, projects_, queues_, claims_, running_};
}

void Simulation::RefreshCheckpoints() {
  for (const RunningGang* gang : running_) {
    auto* mine = const_cast<RunningGang*>(gang);
    const absl::Time last = std::max(mine->last_checkpoint, mine->start);
    if (now_ - last < options_.checkpoint_every) continue;
    absl::Duration rest;
    const int64_t written =
        absl::IDivDuration(now_ - last, options_.checkpoint_every, &rest);
    mine->last_checkpoint = last + written * options_.checkpoint_every;
  }
}

void Simulation::DecideNow() {
  last_decision_ = now_;
  next_decision_ = absl::InfiniteFuture();
  while (true) {
    const scheduler::Snapshot snapshot = MakeSnapshot();
    const bool full = waiting_.size() * 10 >= 9 * backlog_;
    const double wall = WallMilliseconds();
    const double cpu = ThreadMilliseconds();
    const scheduler::Decision decision =
        scheduler::Decide(snapshot, options_.policy);
    const double took = ThreadMilliseconds() - cpu;
    measures_.decision_wall.Add(WallMilliseconds() - wall);
    measures_.decision_cpu.Add(took);
    if (full) measures_.decision_cpu_full_queue.Add(took);
    CarryOut(decision);
    if (decision.wake > now_) {
      if (decision.wake < absl::InfiniteFuture()) {
        next_decision_ =
            std::max(decision.wake, last_decision_ + options_.decide_every);
        Plan(next_decision_, Kind::kDecide);
      }
      return;
    }
  }
}

void Simulation::CarryOut(const scheduler::Decision& decision) {
  for (const scheduler::Refusal& refusal : decision.refuse) {
    const int job = JobOf(refusal.job);
    Unqueue(job);
    states_[job].ended = true;
    ++measures_.refused;
    --unfinished_;
  }
  for (const scheduler::Start& start : decision.start) StartJob(start);
  for (const scheduler::Preemption& preemption : decision.preempt) {
    AskToStop(preemption);
  }
  for (const scheduler::Start& promise : decision.promise) {
    const int job = JobOf(promise.job);
    const auto claim = std::find_if(
        claims_.begin(), claims_.end(),
        [&](const scheduler::Claim& c) { return c.job == promise.job; });
    if (claim != claims_.end()) {
      claim->nodes = promise.nodes;  // a node of the first promise went down
      continue;
    }
    Unqueue(job);
    claims_.push_back(
        {LineProject(job), LineClass(job), promise.job, promise.nodes});
    ++measures_.preemptors;
  }
}

void Simulation::StartJob(const scheduler::Start& start) {
  const int index = JobOf(start.job);
  const SimulatedJob& job = workload_.jobs[index];
  JobState& state = states_[index];
  const auto claim = std::find_if(
      claims_.begin(), claims_.end(),
      [&](const scheduler::Claim& c) { return c.job == start.job; });
  if (claim != claims_.end()) {
    claims_.erase(claim);
  } else {
    Unqueue(index);
  }
  const scheduler::Gang& gang = start.job->gang;
  int ranks = 0;
  for (const NodeRanks& at : start.nodes) {
    scheduler::Node& node = workload_.nodes[at.node];
    node.free.gpus -= at.ranks * gang.per_rank.gpus;
    node.free.cpus -= at.ranks * gang.per_rank.cpus;
    if (node.free.gpus < 0 || node.free.cpus < 0 || !node.usable) {
      ++measures_.overcommitted;
    }
    ranks += at.ranks;
  }
  if (ranks != gang.ranks) ++measures_.gangs_split;
  used_gpus_ += gang.gpus();
  project_gpus_[job.project] += gang.gpus();
  ++project_jobs_[job.project];
  CheckQuota(job.project);
  ++measures_.starts;
  if (!state.started) {
    const double hours = absl::ToDoubleHours(now_ - job.submitted);
    const auto job_class = static_cast<int>(job.job_class);
    auto& waits = job.submitted == start_ ? measures_.wait_backlog
                                          : measures_.wait_arrived;
    waits[job_class].Add(hours);
    if (gang.gpus() >= 512) measures_.wait_large.Add(hours);
    if (gang.gpus() >= 64 && job.job_class == JobClass::kHigh &&
        job.submitted - start_ >= absl::Hours(12)) {
      measures_.wait_urgent.Add(hours);
    }
  }
  state.restart = state.started ? options_.restart : absl::ZeroDuration();
  state.started = true;
  RunningGang& running = state.gang;
  running = {.name = start.job->name,
             .seq = start.job->seq,
             .project = LineProject(index),
             .job_class = start.job_class,
             .per_rank = gang.per_rank,
             .nodes = start.nodes,
             .start = now_,
             .expected_end = now_ + start.job->time_limit,
             .preemptible = job.preemptible};
  state.running_at = static_cast<int>(running_.size());
  running_.push_back(&running);
  Plan(now_ + state.restart + job.work - state.done, Kind::kEnds, index,
       ++state.run);
}

void Simulation::CheckQuota(int project) {
  const scheduler::Quota& quota = projects_[project].quota;
  if (project_gpus_[project] > quota.max_gpus ||
      project_jobs_[project] > quota.max_jobs) {
    ++measures_.over_quota;
  }
}

void Simulation::AskToStop(const scheduler::Preemption& preemption) {
  const int job = JobOf(preemption.job);
  ++measures_.preemptions;
  const auto victim = static_cast<int>(preemption.victim->seq);
  if (preemption.victim->job_class >= LineClass(job)) {
    ++measures_.preempted_equal_or_higher;
  }
  JobState& state = states_[victim];
  state.gang.stopping = true;
  state.gang.expected_end = now_ + options_.policy.stop_time;
  std::uniform_real_distribution<double> part(0, 2);
  Plan(now_ + absl::Ceil(part(random_) * options_.mean_stop, absl::Seconds(1)),
       Kind::kStopped, victim, state.run);
}

void Simulation::Leave(int job) {
  JobState& state = states_[job];
  for (const NodeRanks& at : state.gang.nodes) {
    scheduler::Node& node = workload_.nodes[at.node];
    node.free.gpus += at.ranks * state.gang.per_rank.gpus;
    node.free.cpus += at.ranks * state.gang.per_rank.cpus;
  }
  const int gpus = GpusOf(state.gang);
  used_gpus_ -= gpus;
  project_gpus_[workload_.jobs[job].project] -= gpus;
  --project_jobs_[workload_.jobs[job].project];
  const RunningGang* last = running_.back();
  running_[state.running_at] = last;
  states_[last->seq].running_at = state.running_at;
  running_.pop_back();
  state.running_at = -1;
  ++state.run;  // what is planned for this run is void
}

void Simulation::EndJob(int job) {
  Leave(job);
  states_[job].ended = true;
  ++measures_.finished;
  --unfinished_;
}

void Simulation::Requeue(int job, absl::Duration kept, absl::Time not_before) {
  JobState& state = states_[job];
  scheduler::QueuedJob& queued = workload_.jobs[job].queued;
  state.done += std::max(kept, absl::ZeroDuration());
  queued.not_before = not_before;
  if (state.limit < absl::InfiniteDuration()) {
    queued.time_limit = state.limit - state.done + options_.restart;
  }
  Leave(job);
  Submit(job);
}

void Simulation::Stopped(int job) {
  const JobState& state = states_[job];
  const RunningGang& gang = state.gang;
  absl::Time until = now_;
  if (std::uniform_real_distribution<double>()(random_) <
      options_.failed_stops) {
    until = std::max(gang.last_checkpoint, gang.start);
  }
  const absl::Duration kept = until - gang.start - state.restart;
  // And what it takes to start again.
  const absl::Duration lost = now_ - until + options_.restart;
  measures_.lost_to_preemption += absl::ToDoubleHours(lost) * GpusOf(gang);
  Requeue(job, kept, absl::InfinitePast());
}

void Simulation::FailNode(int index) {
  scheduler::Node& node = workload_.nodes[index];
  RefreshCheckpoints();
  std::vector<int> dead;
  for (const RunningGang* gang : running_) {
    const bool here =
        std::any_of(gang->nodes.begin(), gang->nodes.end(),
                    [&](const NodeRanks& at) { return at.node == index; });
    if (here) dead.push_back(static_cast<int>(gang->seq));
  }
  ++measures_.node_failures;
  for (const int job : dead) {
    const RunningGang& gang = states_[job].gang;
    const absl::Time until = std::max(gang.last_checkpoint, gang.start);
    const absl::Duration lost = now_ - until + options_.restart;
    measures_.lost_to_failures += absl::ToDoubleHours(lost) * GpusOf(gang);
    ++measures_.gangs_failed;
    Requeue(job, until - gang.start - states_[job].restart,
            now_ + absl::Seconds(30));
  }
  node.usable = false;
  usable_gpus_ -= node.total.gpus;
  Plan(now_ + options_.repair, Kind::kNodeBack, index);
}

}  // namespace retort::simulator
