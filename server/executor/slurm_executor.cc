#include "server/executor/slurm_executor.h"

#include <algorithm>
#include <fstream>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace retort::executor {
namespace {

using slurm::JobInfo;
using slurm::Phase;
using slurm::QueueRow;

// srun's last words are at the end of the log.
constexpr int64_t kLogTail = 64 << 10;
// A burst of starts does not keep the news of other gangs waiting for long.
constexpr absl::Duration kSubmitTime = absl::Seconds(3);
// How long a job may take to appear that sbatch left open.
constexpr absl::Duration kStrayTime = absl::Minutes(2);
constexpr char kNoAnswer[] = "Slurm does not answer";

std::string ReadTail(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  const int64_t size = file.tellg();
  file.seekg(std::max<int64_t>(size - kLogTail, 0));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

const QueueRow* FindRow(const std::vector<QueueRow>& queue, int64_t id,
                        const std::string& name) {
  const QueueRow* found = nullptr;
  for (const QueueRow& row : queue) {
    if (id != 0 ? row.id == id : row.name == name) {
      // Of several with one name the newest is the one.
      if (found == nullptr || row.id > found->id) found = &row;
    }
  }
  return found;
}

}  // namespace

SlurmExecutor::SlurmExecutor(const SlurmExecutorOptions& options,
                             slurm::CommandRunner commands, WorkerLinks* links)
    : options_(options), commands_(std::move(commands)), links_(links) {
  // So that the first who ask what fits get an answer.
  if (options_.poll_every < absl::InfiniteDuration()) NoteAnswer(PollNodes());
  poller_ = std::thread([this] { PollLoop(); });
}

SlurmExecutor::~SlurmExecutor() { Shutdown(); }

void SlurmExecutor::Shutdown() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (poller_.joinable()) poller_.join();
}

std::string SlurmExecutor::DisplayId(const std::string& handle) const {
  return handle.empty() ? "" : absl::StrCat("slurm ", handle);
}

absl::StatusOr<std::string> SlurmExecutor::Start(const GangSpec& spec) {
  Gang gang;
  gang.submitted = false;
  gang.name =
      slurm::JobName(options_.script.instance, spec.subject, spec.epoch);
  // Before the start: the workers may dial at once.
  links_->Expect(spec.subject, spec.epoch, base::Sha256Hex(spec.token));
  absl::MutexLock lock(&mutex_);
  gangs_[{spec.subject, spec.epoch}] = std::move(gang);
  to_submit_.push_back(spec);
  wake_ = true;
  return "";
}

void SlurmExecutor::DropUnwanted() {
  std::vector<Incarnation> unwanted;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [incarnation, gang] : gangs_) {
      if (!gang.submitted && gang.wish != Wish::kNone) {
        unwanted.push_back(incarnation);
      }
    }
  }
  ExitStatus exit;
  exit.known = false;
  exit.lost_node = true;
  exit.words = "Slurm: taken back before Slurm had the job";
  for (const Incarnation& incarnation : unwanted) Gone(incarnation, exit);
}

void SlurmExecutor::SubmitSome() {
  const absl::Time stop = absl::Now() + kSubmitTime;
  while (absl::Now() < stop) {
    GangSpec spec;
    {
      absl::MutexLock lock(&mutex_);
      if (to_submit_.empty() || !answers_ || stopping_) return;
      spec = std::move(to_submit_.front());
      to_submit_.pop_front();
      if (gangs_.count({spec.subject, spec.epoch}) == 0) continue;
    }
    Submit(spec);
  }
  absl::MutexLock lock(&mutex_);
  wake_ |= !to_submit_.empty();
}

void SlurmExecutor::Submit(const GangSpec& spec) {
  slurm::ScriptOptions script = options_.script;
  for (const NodeInfo& node : Nodes()) {
    script.gpus_per_node = std::max(script.gpus_per_node, node.gpus);
  }
  const Incarnation incarnation = {spec.subject, spec.epoch};
  const absl::StatusOr<int64_t> id = commands_.Submit(
      slurm::SubmitArguments(spec, script), slurm::BatchScript(spec, script));
  if (id.ok()) {
    RETORT_LOG(info, "gave {} (epoch {}, {} ranks) to Slurm as job {}",
               spec.subject, spec.epoch, spec.ranks, *id);
    absl::MutexLock lock(&mutex_);
    gangs_[incarnation].submitted = true;
    gangs_[incarnation].id = *id;
    return;
  }
  if (absl::IsUnavailable(id.status())) NoteAnswer(id.status());
  if (absl::IsUnavailable(id.status()) || absl::IsInternal(id.status())) {
    // It may be there all the same. Its workers would be refused, but it would
    // hold what it was given.
    absl::MutexLock lock(&mutex_);
    stray_names_[gangs_[incarnation].name] = absl::Now() + kStrayTime;
  }
  ExitStatus exit;
  exit.known = false;
  exit.not_started = id.status();
  Gone(incarnation, exit);
}

void SlurmExecutor::TellNoAnswer() {
  for (auto& [incarnation, gang] : Snapshot()) {
    if (gang.submitted) continue;
    Tell(incarnation, &gang, {.waiting = true, .reason = kNoAnswer});
    Keep(incarnation, gang);
  }
}

absl::StatusOr<std::string> SlurmExecutor::Adopt(
    const std::string& subject, int64_t epoch, const std::string& handle,
    const std::string& token_sha256) {
  Gang gang;
  gang.name = slurm::JobName(options_.script.instance, subject, epoch);
  if (!handle.empty() && !absl::SimpleAtoi(handle, &gang.id)) {
    return absl::NotFoundError(absl::StrCat(
        "\"", handle, "\" is no job of Slurm's; was it another executor's?"));
  }
  if (handle.empty()) {
    const absl::StatusOr<std::vector<QueueRow>> queue = commands_.Queue();
    if (queue.ok()) {
      const QueueRow* row = FindRow(*queue, 0, gang.name);
      if (row == nullptr) {
        return absl::NotFoundError(
            absl::StrCat("Slurm has no job ", gang.name));
      }
      gang.id = row->id;
    }
  }
  // One with a number may be over, too: the poll says how it ended.
  links_->Expect(subject, epoch, token_sha256);
  RETORT_LOG(info, "follows {} (epoch {}), Slurm's job {}", subject, epoch,
             gang.id == 0 ? gang.name : absl::StrCat(gang.id));
  const std::string found = gang.id == 0 ? "" : absl::StrCat(gang.id);
  absl::MutexLock lock(&mutex_);
  gangs_[{subject, epoch}] = std::move(gang);
  return found;
}

void SlurmExecutor::Terminate(const std::string& subject, int64_t epoch) {
  SetWish({subject, epoch}, Wish::kTerminate);
}

void SlurmExecutor::Kill(const std::string& subject, int64_t epoch) {
  SetWish({subject, epoch}, Wish::kKill);
}

void SlurmExecutor::SetWish(const Incarnation& incarnation, Wish wish) {
  absl::MutexLock lock(&mutex_);
  const auto found = gangs_.find(incarnation);
  if (found == gangs_.end()) return;
  found->second.wish = std::max(found->second.wish, wish);
  wake_ = true;
}

std::vector<NodeInfo> SlurmExecutor::Nodes() {
  absl::MutexLock lock(&mutex_);
  return nodes_;
}

void SlurmExecutor::PollLoop() {
  const auto roused = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stopping_ || wake_;
  };
  const bool by_itself = options_.poll_every < absl::InfiniteDuration();
  while (true) {
    if (by_itself) Poll();
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&roused), options_.poll_every);
    if (stopping_) return;
    wake_ = false;
  }
}

std::map<SlurmExecutor::Incarnation, SlurmExecutor::Gang>
SlurmExecutor::Snapshot() {
  absl::MutexLock lock(&mutex_);
  return gangs_;
}

void SlurmExecutor::Keep(const Incarnation& incarnation, const Gang& gang) {
  absl::MutexLock lock(&mutex_);
  const auto found = gangs_.find(incarnation);
  if (found == gangs_.end()) return;
  const Wish wish = std::max(found->second.wish, gang.wish);
  found->second = gang;
  found->second.wish = wish;
}

void SlurmExecutor::NoteAnswer(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    if (status.ok() == answers_) return;
    answers_ = status.ok();
  }
  if (status.ok()) {
    RETORT_LOG(info, "Slurm answers again");
  } else {
    RETORT_LOG(warn, "{}; gangs go on, and are looked after when it does: {}",
               kNoAnswer, std::string(status.message()));
  }
}

absl::Status SlurmExecutor::PollNodes() {
  RETORT_ASSIGN_OR_RETURN(std::vector<NodeInfo> nodes, commands_.Nodes());
  absl::MutexLock lock(&mutex_);
  nodes_ = std::move(nodes);
  return absl::OkStatus();
}

void SlurmExecutor::Poll() {
  DropUnwanted();
  const bool nodes_due = polls_++ % options_.polls_per_node_poll == 0;
  bool answers;
  {
    absl::MutexLock lock(&mutex_);
    answers = answers_;
  }
  if (nodes_due || !answers) {
    const absl::Status status = PollNodes();
    NoteAnswer(status);
    if (!status.ok()) return TellNoAnswer();
  }
  SubmitSome();
  // Before the queue is read: a gang that is adopted in between is not missing.
  const std::map<Incarnation, Gang> gangs = Snapshot();
  bool strays;
  {
    absl::MutexLock lock(&mutex_);
    strays = !stray_ids_.empty() || !stray_names_.empty();
  }
  if (gangs.empty() && !strays) return;
  const absl::StatusOr<std::vector<QueueRow>> queue = commands_.Queue();
  NoteAnswer(queue.status());
  if (!queue.ok()) return;
  for (const auto& [incarnation, gang] : gangs) {
    Follow(incarnation, gang, *queue);
  }
  CancelStrays(*queue);
}

void SlurmExecutor::Follow(const Incarnation& incarnation, Gang gang,
                           const std::vector<QueueRow>& queue) {
  if (!gang.submitted) return;
  const QueueRow* row = FindRow(queue, gang.id, gang.name);
  if (row == nullptr) return FollowMissing(incarnation, std::move(gang));
  gang.id = row->id;
  if (!(*row == gang.seen)) {
    FollowChanged(incarnation, &gang, *row);
    if (gang.phase == Phase::kRequeued || gang.phase == Phase::kEnded) return;
  }
  FulfilWish(&gang);
  Keep(incarnation, gang);
}

void SlurmExecutor::FollowMissing(const Incarnation& incarnation, Gang gang) {
  // Slurm forgets a job some minutes after its end (MinJobAge); we may have
  // been away for longer.
  JobInfo job;
  if (gang.id != 0) {
    const absl::StatusOr<JobInfo> info = commands_.Job(gang.id);
    if (!info.ok() && !absl::IsNotFound(info.status())) return;
    if (info.ok() && slurm::PhaseOf(*info) != Phase::kEnded) return;
    if (info.ok()) return End(incarnation, gang, *info);
    const std::optional<JobInfo> account = commands_.Account(gang.id);
    if (account.has_value() && slurm::PhaseOf(*account) == Phase::kEnded) {
      return End(incarnation, gang, *account);
    }
  }
  ExitStatus exit;
  exit.known = false;
  exit.lost_node = true;
  exit.words = gang.id == 0
                   ? "Slurm: never had the job"
                   : absl::StrCat("Slurm: knows job ", gang.id, " no more");
  Gone(incarnation, exit);
}

void SlurmExecutor::FollowChanged(const Incarnation& incarnation, Gang* gang,
                                  const QueueRow& row) {
  const absl::StatusOr<JobInfo> job = commands_.Job(row.id);
  if (!job.ok()) return;  // the row will still be new at the next poll
  gang->seen = row;
  gang->phase = slurm::PhaseOf(*job);
  if (gang->phase == Phase::kRequeued) {
    absl::MutexLock lock(&mutex_);
    stray_ids_.insert(row.id);
  }
  if (gang->phase == Phase::kRequeued || gang->phase == Phase::kEnded) {
    return End(incarnation, *gang, *job);
  }
  TellPlacement(incarnation, gang, *job);
}

void SlurmExecutor::TellPlacement(const Incarnation& incarnation, Gang* gang,
                                  const JobInfo& job) {
  GangPlacement placement;
  placement.handle = absl::StrCat(gang->id);
  placement.waiting = gang->phase == Phase::kWaiting;
  if (placement.waiting) {
    const std::string& why = job.state == "PENDING" ? job.reason : job.state;
    placement.reason = absl::StrCat("Slurm: ", why.empty() ? job.state : why);
  } else {
    // Those of a job that ends become fewer in Slurm's list.
    if (gang->nodes.empty()) {
      gang->nodes = commands_.ExpandNodes(gang->seen.nodes);
    }
    placement.nodes = gang->nodes;
  }
  Tell(incarnation, gang, placement);
}

void SlurmExecutor::Tell(const Incarnation& incarnation, Gang* gang,
                         const GangPlacement& placement) {
  if (placement.handle == gang->told.handle &&
      placement.waiting == gang->told.waiting &&
      placement.reason == gang->told.reason &&
      placement.nodes == gang->told.nodes) {
    return;
  }
  gang->told = placement;
  links_->Placed(incarnation.first, incarnation.second, placement);
}

void SlurmExecutor::FulfilWish(Gang* gang) {
  // What fails is done again at the next poll.
  absl::Status status;
  if (gang->wish == Wish::kKill && !gang->asked.kill) {
    status = commands_.Kill(gang->id);
    gang->asked.kill = status.ok();
  } else if (gang->wish == Wish::kTerminate) {
    if (gang->phase == Phase::kWaiting) {
      status = commands_.CancelWaiting(gang->id);
      gang->asked.withdraw |= status.ok();
    } else if (!gang->terminated) {
      status = commands_.Terminate(gang->id);
      gang->terminated = status.ok();
    }
  }
  if (!status.ok()) {
    RETORT_LOG(debug, "ending Slurm's job {}: {}", gang->id,
               std::string(status.message()));
  }
}

std::vector<NodeInfo> SlurmExecutor::LostNodes(const Gang& gang) {
  std::vector<NodeInfo> lost;
  for (const NodeInfo& node : Nodes()) {
    const bool ours = std::find(gang.nodes.begin(), gang.nodes.end(),
                                node.name) != gang.nodes.end();
    if (ours && node.lost) lost.push_back(node);
  }
  return lost;
}

void SlurmExecutor::End(const Incarnation& incarnation, const Gang& gang,
                        JobInfo job) {
  std::optional<slurm::RankFailure> failure;
  std::vector<NodeInfo> lost;
  if (job.state != "COMPLETED" || job.restarts > 0) {
    failure = slurm::FirstFailure(ReadTail(job.log_path), gang.id);
    // What was known will do if they cannot be asked.
    PollNodes().IgnoreError();
    lost = LostNodes(gang);
  }
  if (job.state == "CANCELLED" && job.by.empty() && !gang.asked.kill) {
    const std::optional<JobInfo> account = commands_.Account(gang.id);
    if (account.has_value()) job.by = account->by;
  }
  Gone(incarnation, slurm::ExitOf(job, failure, lost, gang.asked));
}

void SlurmExecutor::Gone(const Incarnation& incarnation,
                         const ExitStatus& exit) {
  {
    absl::MutexLock lock(&mutex_);
    gangs_.erase(incarnation);
  }
  const auto& [subject, epoch] = incarnation;
  RETORT_LOG(info, "the gang of {} (epoch {}) has ended: {}", subject, epoch,
             exit.ToString());
  links_->Exited(subject, epoch, exit);
}

void SlurmExecutor::CancelStrays(const std::vector<QueueRow>& queue) {
  std::set<int64_t> ids;
  std::map<std::string, absl::Time> names;
  {
    absl::MutexLock lock(&mutex_);
    ids = stray_ids_;
    names = stray_names_;
  }
  for (const QueueRow& row : queue) {
    if (ids.count(row.id) == 0 && names.count(row.name) == 0) continue;
    JobInfo job;
    job.state = row.state;
    if (slurm::PhaseOf(job) != Phase::kEnded) {
      (void)commands_.Kill(row.id);
      ids.erase(row.id);  // looked at again
      names.erase(row.name);
    }
  }
  // What is left is not in the queue, or has ended there; one that is known by
  // its name alone may be on its way to it.
  absl::MutexLock lock(&mutex_);
  for (const int64_t id : ids) stray_ids_.erase(id);
  for (const auto& [name, until] : names) {
    if (until <= absl::Now()) stray_names_.erase(name);
  }
}

}  // namespace retort::executor
