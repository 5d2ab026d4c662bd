#include "server/scheduler/scheduler.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "server/base/durations.h"
#include "server/base/error.h"
#include "server/base/resource_name.h"
#include "server/base/words.h"
#include "server/jobs/timestamps.h"
#include "server/scheduler/job_facts.h"

namespace retort::scheduler {
namespace {

// Looked at least so often, whatever happens.
constexpr absl::Duration kIdlePeriod = absl::Seconds(30);
// Woken so much later than planned, the service itself was stopped, or its
// machine asleep.
constexpr absl::Duration kOverslept = absl::Seconds(3);

absl::Status StateConflict(const std::string& name, jobs::State state,
                           absl::string_view why) {
  return service::Error(absl::StatusCode::kFailedPrecondition,
                        v1::ERROR_REASON_STATE_CONFLICT,
                        absl::StrCat(name, " is ", jobs::StateName(state), why),
                        {{"state", jobs::StateName(state)}});
}

std::vector<NodeFacts> ToFacts(const std::vector<executor::NodeInfo>& nodes) {
  std::vector<NodeFacts> facts;
  for (const executor::NodeInfo& node : nodes) {
    facts.push_back(
        {node.name, {node.gpus, node.cpus}, node.usable, node.reason});
  }
  return facts;
}

LiveClusterOptions WithQueueOf(const executor::Executor& executor,
                               LiveClusterOptions options) {
  options.executor_queues = executor.has_queue();
  return options;
}

// One project does not learn the names of another's jobs.
std::string WhyStops(const std::string& victim, const std::string& job) {
  const auto of_victim = service::ParseName(service::kJobs, victim);
  const auto of_job = service::ParseName(service::kJobs, job);
  const bool same =
      of_victim.ok() && of_job.ok() && of_victim->project == of_job->project;
  return absl::StrCat("makes room for ",
                      same ? job : "a job of another project");
}

absl::string_view WhyNotResumed(jobs::State state) {
  switch (state) {
    case v1::Job::STATE_SUCCEEDED:
      return ": there is nothing left to do";
    case v1::Job::STATE_PAUSING:
      return ": its worker still writes a checkpoint; resume it once it is "
             "PAUSED";
    case v1::Job::STATE_CANCELLING:
      return ": its worker still writes a checkpoint; resume it once it is "
             "CANCELLED";
    default:
      return " and not on hold";
  }
}

absl::Status CheckMayResume(const jobs::JobRecord& record,
                            const std::vector<v1::Checkpoint>& checkpoints) {
  const std::string& name = record.job.name();
  const jobs::State state = record.job.state();
  if (!jobs::CanResume(state)) {
    return StateConflict(name, state, WhyNotResumed(state));
  }
  if (TimeLeft(record) > absl::ZeroDuration()) return absl::OkStatus();
  // It would end as soon as it has begun.
  const absl::Duration limit =
      service::GetDuration(record.job.spec().resources().time_limit());
  const std::string from =
      checkpoints.empty()
          ? ""
          : absl::StrCat(" --from-step ", checkpoints.back().step());
  return StateConflict(
      name, state,
      absl::StrCat(
          " and has run for all of its time_limit of ",
          absl::FormatDuration(limit),
          "; to go on, clone it with a longer one: `retort jobs clone ", name,
          from, " --set spec.resources.time_limit=...`"));
}

}  // namespace

class Scheduler::News : public jobs::JobListener {
 public:
  explicit News(Scheduler* owner) : owner_(owner) {}

  void OnStored(const std::string& name) override { Add(name); }
  void Add(const std::string& name) {
    absl::MutexLock lock(&mutex_);
    if (owner_ == nullptr) return;
    changed_.insert(name);
    owner_->Wake();
  }
  std::set<std::string> Take() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(changed_, {});
  }
  void Leave() {
    absl::MutexLock lock(&mutex_);
    owner_ = nullptr;
  }

 private:
  absl::Mutex mutex_;
  Scheduler* owner_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> changed_ ABSL_GUARDED_BY(mutex_);
};

Scheduler::Scheduler(const SchedulerOptions& options, base::Clock* clock,
                     jobs::JobStore* store, jobs::ModelLookup* models,
                     executor::Executor* executor, ClusterStore* cluster_store,
                     metrics::ServiceMetrics* metrics)
    : options_(options),
      clock_(clock),
      store_(store),
      executor_(executor),
      metrics_(metrics),
      news_(std::make_shared<News>(this)),
      cluster_(WithQueueOf(*executor, options.cluster), clock, cluster_store),
      running_(options.running, clock, store, models, executor, metrics) {
  cluster_.SetNodes(ToFacts(executor_->Nodes()));
  store_->feed()->Listen(news_);
}

Scheduler::~Scheduler() {
  if (thread_.joinable()) Stop(absl::ZeroDuration());
  news_->Leave();
}

absl::Status Scheduler::Recover() {
  RETORT_RETURN_IF_ERROR(cluster_.Load());
  RETORT_ASSIGN_OR_RETURN(std::vector<jobs::JobRecord> live,
                          store_->ListLive());
  for (const jobs::JobRecord& record : live) {
    if (jobs::HasWorker(record.job.state())) {
      RETORT_RETURN_IF_ERROR(running_.Recover(record));
    }
  }
  // Once more, as they are now.
  RETORT_ASSIGN_OR_RETURN(live, store_->ListLive());
  news_->Take();
  for (const jobs::JobRecord& record : live) {
    const std::string& name = record.job.name();
    const bool runs = running_.Has(name);
    cluster_.Follow(record, runs, running_.NotBefore(name));
    if (!runs) continue;
    const auto checkpoints = store_->ListCheckpoints(name);
    if (checkpoints.ok() && !checkpoints->empty()) {
      cluster_.SetCheckpoint(
          name, jobs::FromTimestamp(checkpoints->back().create_time()));
    }
    const std::string room_for = cluster_.MakesRoomFor(name);
    if (!room_for.empty()) running_.Preempt(name, WhyStops(name, room_for));
  }
  cluster_.ForgetUnfollowed();
  if (!live.empty()) {
    RETORT_LOG(info, "took over {} of an earlier run",
               service::Count(live.size(), "unfinished job"));
  }
  return absl::OkStatus();
}

void Scheduler::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Scheduler::Stop(absl::Duration grace) {
  const absl::Time stop_at = clock_->Now() + grace;
  Post([this] { running_.StopAll(); });
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    stop_at_ = stop_at;
    awake_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void Scheduler::Post(std::function<void()> item, bool look) {
  absl::MutexLock lock(&mutex_);
  inbox_.push_back(std::move(item));
  awake_ = true;
  look_ |= look;
}

void Scheduler::Wake() {
  absl::MutexLock lock(&mutex_);
  awake_ = look_ = true;
}

void Scheduler::Loop() {
  absl::Duration overslept;
  while (true) {
    if (overslept >= kOverslept) Overslept(overslept);
    absl::Time wake = RunOnce();
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      // The farewell itself is the first item of the inbox.
      const bool late = clock_->Now() >= stop_at_;
      if (inbox_.empty() && (running_.empty() || late)) return;
      wake = std::min(wake, stop_at_);
    }
    const absl::Time now = clock_->Now();
    const absl::Duration wait =
        std::clamp(wake - now, absl::ZeroDuration(), kIdlePeriod);
    mutex_.AwaitWithTimeout(absl::Condition(&awake_), wait);
    awake_ = false;
    overslept = clock_->Now() - now - wait;
  }
}

absl::Time Scheduler::RunOnce() {
  std::deque<std::function<void()>> inbox;
  {
    absl::MutexLock lock(&mutex_);
    inbox.swap(inbox_);
  }
  for (const auto& item : inbox) item();
  const absl::Time limit = running_.CheckTimeLimits();
  const absl::Time now = clock_->Now();
  // However little happens: nodes come and go by themselves.
  bool look = now >= decide_at_ || now >= looked_at_ + kIdlePeriod;
  bool stopping;
  {
    absl::MutexLock lock(&mutex_);
    look |= std::exchange(look_, false);
    stopping = stopping_;
  }
  if (look) {
    looked_at_ = now;
    FollowJobs();
    decide_at_ = stopping ? absl::InfiniteFuture() : DecideAndAct();
    if (!unread_.empty()) {
      decide_at_ = std::min(decide_at_, now + absl::Seconds(1));
    }
    PublishUsage();
  }
  return std::min(limit, decide_at_);
}

void Scheduler::FollowJobs() {
  cluster_.SetNodes(ToFacts(executor_->Nodes()));
  std::set<std::string> changed = news_->Take();
  changed.insert(unread_.begin(), unread_.end());
  for (const std::string& name : cluster_.Gangs()) {
    if (!running_.Has(name)) {
      changed.insert(name);
    } else if (!running_.Waits(name)) {
      cluster_.Place(name);
    }
  }
  for (const std::string& name : changed) FollowJob(name);
}

void Scheduler::FollowJob(const std::string& name) {
  const absl::StatusOr<jobs::JobRecord> record = store_->Get(name);
  if (!record.ok() && !absl::IsNotFound(record.status())) {
    if (unread_.insert(name).second) {
      RETORT_LOG(error, "{} cannot be read, and is tried again: {}", name,
                 record.status().ToString());
    }
    return;
  }
  unread_.erase(name);
  if (record.ok()) {
    cluster_.Follow(*record, running_.Has(name), running_.NotBefore(name));
  } else {
    cluster_.Forget(name);
  }
}

absl::Time Scheduler::DecideAndAct() {
  const Plan plan = cluster_.Decide();
  for (const Plan::Refusal& refusal : plan.refuse) Refuse(refusal);
  const absl::Status committed = cluster_.Commit(plan);
  if (!committed.ok()) {
    RETORT_LOG(error, "nothing is started: {}", committed.ToString());
    return clock_->Now() + absl::Seconds(1);
  }
  for (const Plan::Stop& stop : plan.stop) {
    running_.Preempt(stop.victim, WhyStops(stop.victim, stop.job));
  }
  absl::Time wake = plan.wake;
  for (const Plan::Start& start : plan.start) {
    const absl::StatusOr<bool> started = running_.StartJob(start.job);
    if (started.ok() && *started) continue;
    if (!started.ok()) {
      RETORT_LOG(warn, "{} is not started: {}", start.job,
                 started.status().ToString());
    }
    wake = clock_->Now();  // its place may be somebody else's
  }
  return wake;
}

void Scheduler::Refuse(const Plan::Refusal& refusal) {
  const auto refused =
      store_->Update(refusal.job, [&](jobs::JobRecord& record, auto*) {
        if (record.job.state() == v1::Job::STATE_QUEUED) {
          record.job.set_state(v1::Job::STATE_FAILED);
          record.job.set_state_reason(refusal.reason);
        }
        return absl::OkStatus();
      });
  if (!refused.ok()) {
    RETORT_LOG(warn, "{}: {}", refusal.job, refused.status().ToString());
  }
}

void Scheduler::PublishUsage() {
  const ClusterState state = cluster_.Copy();
  int slots = 0, used = 0;
  for (const NodeFacts& node : state.nodes()) slots += node.total.cpus;
  for (const auto& [name, gang] : state.gangs()) used += gang.gang.cpus();
  metrics_->SetCpuSlots(slots, used);
  metrics_->SetQueueLength(state.waiting().size() + state.claims().size());
  const auto counts = store_->CountByState();
  if (!counts.ok()) return;
  for (const auto& [job_state, count] : *counts) {
    metrics_->SetJobs(absl::AsciiStrToLower(jobs::StateName(job_state)), count);
  }
}

absl::StatusOr<v1::Job> Scheduler::Cancel(const std::string& name) {
  RETORT_ASSIGN_OR_RETURN(
      jobs::JobRecord record,
      store_->Update(name, [&](jobs::JobRecord& r, auto*) -> absl::Status {
        const jobs::State state = r.job.state();
        if (jobs::IsEnded(state)) {
          return StateConflict(name, state, ": it has ended already");
        }
        r.job.set_state_reason("cancelled by request");
        r.job.set_state(jobs::HasWorker(state) ? v1::Job::STATE_CANCELLING
                                               : v1::Job::STATE_CANCELLED);
        return absl::OkStatus();
      }));
  Post([this, name] { running_.Cancel(name); });
  return record.job;
}

absl::StatusOr<v1::Job> Scheduler::Pause(const std::string& name) {
  RETORT_ASSIGN_OR_RETURN(
      jobs::JobRecord record,
      store_->Update(name, [&](jobs::JobRecord& r, auto*) -> absl::Status {
        const jobs::State state = r.job.state();
        if (state == v1::Job::STATE_PAUSING || state == v1::Job::STATE_PAUSED) {
          return absl::OkStatus();
        }
        if (jobs::IsEnded(state) || state == v1::Job::STATE_CANCELLING) {
          return StateConflict(name, state,
                               jobs::IsEnded(state)
                                   ? ": it has ended already, and cannot be "
                                     "paused"
                                   : " and cannot be paused");
        }
        r.job.set_state_reason("paused by request");
        r.job.set_state(jobs::HasWorker(state) ? v1::Job::STATE_PAUSING
                                               : v1::Job::STATE_PAUSED);
        return absl::OkStatus();
      }));
  Post([this, name] { running_.Pause(name); });
  return record.job;
}

absl::StatusOr<v1::Job> Scheduler::Resume(const std::string& name,
                                          std::optional<int64_t> from_step) {
  // Another that comes first would have it run by the time of DropAfter().
  absl::MutexLock lock(&resume_mutex_);
  RETORT_ASSIGN_OR_RETURN(const jobs::JobRecord before, store_->Get(name));
  RETORT_ASSIGN_OR_RETURN(std::vector<v1::Checkpoint> checkpoints,
                          store_->ListCheckpoints(name));
  RETORT_RETURN_IF_ERROR(CheckMayResume(before, checkpoints));
  if (from_step.has_value()) {
    // While it stands still: a crash in between leaves a job that can be
    // resumed, from the last checkpoint that it has then.
    RETORT_RETURN_IF_ERROR(store_->DropAfter(name, *from_step));
    RETORT_ASSIGN_OR_RETURN(checkpoints, store_->ListCheckpoints(name));
  }
  RETORT_ASSIGN_OR_RETURN(
      jobs::JobRecord record,
      store_->Update(name, [&](jobs::JobRecord& r, auto*) -> absl::Status {
        RETORT_RETURN_IF_ERROR(CheckMayResume(r, checkpoints));
        r.failures = 0;
        r.job.set_state(v1::Job::STATE_QUEUED);
        r.job.set_state_reason(
            checkpoints.empty()
                ? "resumed by request; there is no checkpoint: it starts again"
                : absl::StrCat("resumed by request; it goes on from its "
                               "checkpoint of step ",
                               checkpoints.back().step()));
        return absl::OkStatus();
      }));
  Post([this, name] {
    running_.Resume(name);
    news_->Add(name);  // which knows of its wait
  });
  return record.job;
}

void Scheduler::OnAttached(const std::string& subject, int64_t epoch,
                           const internal::v1::Hello& hello,
                           std::shared_ptr<executor::WorkerSession> session) {
  Post([=, this] { running_.Attached(subject, epoch, hello, session); });
}

void Scheduler::OnMessage(const std::string& subject, int64_t epoch, int rank,
                          const internal::v1::AttachRequest& message) {
  using Message = internal::v1::AttachRequest;
  if (message.message_case() == Message::kProgress &&
      message.progress().progress().has_eta()) {
    cluster_.SetEstimatedEnd(
        subject, clock_->Now() +
                     service::GetDuration(message.progress().progress().eta()));
  }
  if (message.message_case() == Message::kCheckpoint) {
    const v1::Checkpoint& checkpoint = message.checkpoint().checkpoint();
    cluster_.SetCheckpoint(subject,
                           checkpoint.has_create_time()
                               ? jobs::FromTimestamp(checkpoint.create_time())
                               : clock_->Now());
  }
  Post([=, this] { running_.Message(subject, epoch, rank, message); },
       /*look=*/message.message_case() == Message::kEnded);
}

void Scheduler::OnDetached(const std::string& subject, int64_t epoch,
                           int rank) {
  Post([=, this] { running_.Detached(subject, epoch, rank); });
}

void Scheduler::OnPlacement(const std::string& subject, int64_t epoch,
                            const executor::GangPlacement& placement) {
  Post([=, this] {
    running_.Placed(subject, epoch, placement);
    if (!placement.waiting) cluster_.Moved(subject, placement.nodes);
  });
}

void Scheduler::OnExited(const std::string& subject, int64_t epoch,
                         const executor::ExitStatus& exit) {
  Post([=, this] { running_.Exited(subject, epoch, exit); });
}

}  // namespace retort::scheduler
