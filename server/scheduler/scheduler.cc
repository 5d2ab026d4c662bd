#include "server/scheduler/scheduler.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/scheduler/machine_policy.h"

namespace retort::scheduler {
namespace {

// Looked at least so often, whatever happens.
constexpr absl::Duration kIdlePeriod = absl::Seconds(30);

absl::Status StateConflict(const std::string& name, jobs::State state,
                           absl::string_view why) {
  return service::Error(absl::StatusCode::kFailedPrecondition,
                        v1::ERROR_REASON_STATE_CONFLICT,
                        absl::StrCat(name, " is ", jobs::StateName(state), why),
                        {{"state", jobs::StateName(state)}});
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

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options, base::Clock* clock,
                     jobs::JobStore* store, jobs::ModelLookup* models,
                     executor::Executor* executor,
                     metrics::ServiceMetrics* metrics)
    : options_(options),
      clock_(clock),
      store_(store),
      metrics_(metrics),
      running_(options.running, clock, store, models, executor, metrics) {
  usage_.cpu_slots = options_.cpu_slots;
}

Scheduler::~Scheduler() {
  if (thread_.joinable()) Stop(absl::ZeroDuration());
}

absl::Status Scheduler::Recover() {
  RETORT_ASSIGN_OR_RETURN(std::vector<jobs::JobRecord> live,
                          store_->ListLive());
  for (const jobs::JobRecord& record : live) {
    if (jobs::HasWorker(record.job.state())) {
      RETORT_RETURN_IF_ERROR(running_.Recover(record));
    }
  }
  if (!live.empty()) {
    RETORT_LOG(info, "took over {} unfinished job(s) of an earlier run",
               live.size());
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

void Scheduler::Post(std::function<void()> item) {
  absl::MutexLock lock(&mutex_);
  inbox_.push_back(std::move(item));
  awake_ = true;
}

void Scheduler::Wake() {
  absl::MutexLock lock(&mutex_);
  awake_ = true;
}

void Scheduler::Loop() {
  while (true) {
    absl::Time wake = RunOnce();
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      // The farewell itself is the first item of the inbox.
      const bool late = clock_->Now() >= stop_at_;
      if (inbox_.empty() && (running_.empty() || late)) return;
      wake = std::min(wake, stop_at_);
    }
    mutex_.AwaitWithTimeout(
        absl::Condition(&awake_),
        std::clamp(wake - clock_->Now(), absl::ZeroDuration(), kIdlePeriod));
    awake_ = false;
  }
}

absl::Time Scheduler::RunOnce() {
  std::deque<std::function<void()>> inbox;
  bool stopping;
  {
    absl::MutexLock lock(&mutex_);
    inbox.swap(inbox_);
    stopping = stopping_;
  }
  for (const auto& item : inbox) item();
  absl::Time wake = running_.CheckTimeLimits();
  if (!stopping) wake = std::min(wake, StartJobs());
  PublishUsage();
  return wake;
}

absl::Time Scheduler::StartJobs() {
  const absl::StatusOr<std::vector<jobs::JobRecord>> live = store_->ListLive();
  if (!live.ok()) {
    RETORT_LOG(error, "cannot read the queue: {}", live.status().ToString());
    return clock_->Now() + absl::Seconds(1);
  }
  MachineState machine;
  machine.now = clock_->Now();
  machine.cpu_slots = options_.cpu_slots;
  machine.running = running_.Running();
  for (const jobs::JobRecord& record : *live) {
    if (record.job.state() != v1::Job::STATE_QUEUED) continue;
    const std::string& name = record.job.name();
    // A process that is on its way out may still write to the job's folder.
    const bool leaving = std::any_of(
        machine.running.begin(), machine.running.end(),
        [&](const RunningJob& running) { return running.name == name; });
    if (leaving) continue;
    machine.waiting.push_back({name, record.seq, record.job.priority(),
                               record.job.spec().resources().cpu_threads(),
                               running_.NotBefore(name)});
  }
  const MachineDecision decision = DecideForMachine(machine);
  for (const MachineDecision::Refusal& refusal : decision.refuse) {
    auto refused =
        store_->Update(refusal.name, [&](jobs::JobRecord& record, auto*) {
          record.job.set_state(v1::Job::STATE_FAILED);
          record.job.set_state_reason(refusal.reason);
          return absl::OkStatus();
        });
    if (!refused.ok()) {
      RETORT_LOG(warn, "{}: {}", refusal.name, refused.status().ToString());
    }
  }
  absl::Time wake = decision.wake;
  for (const std::string& name : decision.start) {
    const absl::StatusOr<bool> started = running_.StartJob(name);
    if (!started.ok()) {
      RETORT_LOG(warn, "{} is not started: {}", name,
                 started.status().ToString());
    } else if (!*started) {
      wake = machine.now;  // its place may be somebody else's
    }
  }
  return wake;
}

void Scheduler::PublishUsage() {
  Usage usage;
  usage.cpu_slots = options_.cpu_slots;
  for (const RunningJob& job : running_.Running()) {
    usage.cpu_slots_used += job.cpu_threads;
    usage.jobs.push_back(job.name);
  }
  metrics_->SetCpuSlots(usage.cpu_slots, usage.cpu_slots_used);
  const auto counts = store_->CountByState();
  if (counts.ok()) {
    for (const auto& [state, count] : *counts) {
      metrics_->SetJobs(absl::AsciiStrToLower(jobs::StateName(state)), count);
    }
    const auto queued = counts->find(v1::Job::STATE_QUEUED);
    metrics_->SetQueueLength(queued == counts->end() ? 0 : queued->second);
  }
  absl::MutexLock lock(&mutex_);
  usage_ = std::move(usage);
}

Scheduler::Usage Scheduler::GetUsage() const {
  absl::MutexLock lock(&mutex_);
  return usage_;
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
          return StateConflict(name, state, " and cannot be paused");
        }
        r.job.set_state_reason("paused by request");
        r.job.set_state(jobs::HasWorker(state) ? v1::Job::STATE_PAUSING
                                               : v1::Job::STATE_PAUSED);
        return absl::OkStatus();
      }));
  Post([this, name] { running_.Pause(name); });
  return record.job;
}

absl::StatusOr<v1::Job> Scheduler::Resume(const std::string& name) {
  RETORT_ASSIGN_OR_RETURN(std::vector<v1::Checkpoint> checkpoints,
                          store_->ListCheckpoints(name));
  RETORT_ASSIGN_OR_RETURN(
      jobs::JobRecord record,
      store_->Update(name, [&](jobs::JobRecord& r, auto*) -> absl::Status {
        const jobs::State state = r.job.state();
        if (!jobs::CanResume(state)) {
          return StateConflict(name, state, WhyNotResumed(state));
        }
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
  Post([this, name] { running_.Resume(name); });
  return record.job;
}

void Scheduler::OnAttached(const std::string& subject, int64_t epoch,
                           const internal::v1::Hello& hello,
                           std::shared_ptr<executor::WorkerSession> session) {
  Post([=, this] { running_.Attached(subject, epoch, hello, session); });
}

void Scheduler::OnMessage(const std::string& subject, int64_t epoch, int rank,
                          const internal::v1::AttachRequest& message) {
  Post([=, this] { running_.Message(subject, epoch, rank, message); });
}

void Scheduler::OnDetached(const std::string& subject, int64_t epoch,
                           int rank) {
  Post([=, this] { running_.Detached(subject, epoch, rank); });
}

void Scheduler::OnPlacement(const std::string& subject, int64_t epoch,
                            const executor::GangPlacement& placement) {
  Post([=, this] { running_.Placed(subject, epoch, placement); });
}

void Scheduler::OnExited(const std::string& subject, int64_t epoch,
                         const executor::ExitStatus& exit) {
  Post([=, this] { running_.Exited(subject, epoch, exit); });
}

}  // namespace retort::scheduler
