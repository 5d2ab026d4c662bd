#ifndef RETORT_SERVER_EXECUTOR_SLURM_EXECUTOR_H_
#define RETORT_SERVER_EXECUTOR_SLURM_EXECUTOR_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/executor/executor.h"
#include "server/executor/slurm_commands.h"
#include "server/executor/slurm_output.h"
#include "server/executor/slurm_script.h"
#include "server/executor/worker_links.h"

namespace retort::executor {

struct SlurmExecutorOptions {
  slurm::ScriptOptions script;
  // How often Slurm is asked. Infinite: only by calls of Poll().
  absl::Duration poll_every = absl::Seconds(2);
  // Nodes change less often, and there are more of them: every so many polls.
  int polls_per_node_poll = 5;
};

// Gives gangs to a Slurm cluster through its own commands: one sbatch a gang,
// one task a rank. Slurm chooses the nodes and keeps a queue of its own; this
// follows its jobs with one squeue every two seconds, and asks for what has
// changed. A handle is a job's number. Workers dial back over TCP.
//
// What becomes of a gang is what becomes of its job. One that Slurm or an
// operator requeues has ended (lost_node): the copy that Slurm would start is
// taken out of its queue, and the caller starts a new incarnation. While Slurm
// does not answer gangs go on, and nothing is said of them.
//
// One thread speaks to Slurm. Start(), Terminate() and Kill() only note what is
// wanted, and rouse it: a slow Slurm holds nobody up, and gangs that are to be
// given to one that does not answer wait until it does. Adopt() waits for a
// command, half a minute at most.
// Thread-safe.
class SlurmExecutor : public Executor {
 public:
  // `links` outlives the executor.
  SlurmExecutor(const SlurmExecutorOptions& options,
                slurm::CommandRunner commands, WorkerLinks* links);
  ~SlurmExecutor() override;

  std::string name() const override { return "slurm"; }
  bool has_queue() const override { return true; }
  absl::StatusOr<std::string> Start(const GangSpec& spec) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  // If Slurm does not answer, the gang is followed until it does.
  absl::StatusOr<std::string> Adopt(const std::string& subject, int64_t epoch,
                                    const std::string& handle,
                                    const std::string& token_sha256) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Terminate(const std::string& subject, int64_t epoch) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Kill(const std::string& subject, int64_t epoch) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<NodeInfo> Nodes() override ABSL_LOCKS_EXCLUDED(mutex_);
  std::string DisplayId(const std::string& handle) const override;
  void Shutdown() override ABSL_LOCKS_EXCLUDED(mutex_);

  // Asks Slurm once, and acts on what has changed. For the executor's own
  // thread; for others only if poll_every is infinite. One call at a time.
  void Poll() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Incarnation = std::pair<std::string, int64_t>;
  enum class Wish { kNone, kTerminate, kKill };
  struct Gang {
    bool submitted = true;
    int64_t id = 0;  // 0: not known yet, to be found by its name
    std::string name;
    slurm::QueueRow seen;  // as it was acted on last
    slurm::Phase phase = slurm::Phase::kWaiting;
    GangPlacement told;
    std::vector<std::string> nodes;
    Wish wish = Wish::kNone;
    bool terminated = false;  // the ranks have got their SIGTERM
    slurm::Asked asked;
  };

  void PollLoop() ABSL_LOCKS_EXCLUDED(mutex_);
  void SetWish(const Incarnation& incarnation, Wish wish)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Copies of the gangs as they are.
  std::map<Incarnation, Gang> Snapshot() ABSL_LOCKS_EXCLUDED(mutex_);
  // Writes back what a poll found, but for wishes that came meanwhile.
  void Keep(const Incarnation& incarnation, const Gang& gang)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status PollNodes() ABSL_LOCKS_EXCLUDED(mutex_);
  void NoteAnswer(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends gangs that are to end before Slurm has them.
  void DropUnwanted() ABSL_LOCKS_EXCLUDED(mutex_);
  // Gives Slurm what is to start, in the order of Start(), some at a time.
  void SubmitSome() ABSL_LOCKS_EXCLUDED(mutex_);
  void Submit(const GangSpec& spec) ABSL_LOCKS_EXCLUDED(mutex_);
  // Tells why gangs wait that are not Slurm's yet.
  void TellNoAnswer() ABSL_LOCKS_EXCLUDED(mutex_);
  // One gang against the queue. Nothing is concluded from a failed command.
  void Follow(const Incarnation& incarnation, Gang gang,
              const std::vector<slurm::QueueRow>& queue);
  void FollowMissing(const Incarnation& incarnation, Gang gang);
  void FollowChanged(const Incarnation& incarnation, Gang* gang,
                     const slurm::QueueRow& row);
  void FulfilWish(Gang* gang);
  void TellPlacement(const Incarnation& incarnation, Gang* gang,
                     const slurm::JobInfo& job);
  void Tell(const Incarnation& incarnation, Gang* gang,
            const GangPlacement& placement);
  void End(const Incarnation& incarnation, const Gang& gang,
           slurm::JobInfo job);
  void Gone(const Incarnation& incarnation, const ExitStatus& exit)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Nodes of the gang that are lost.
  std::vector<NodeInfo> LostNodes(const Gang& gang) ABSL_LOCKS_EXCLUDED(mutex_);
  // Cancels jobs that must not start (again).
  void CancelStrays(const std::vector<slurm::QueueRow>& queue);

  const SlurmExecutorOptions options_;
  const slurm::Commands commands_;
  WorkerLinks* const links_;

  int polls_ = 0;  // of the polling thread alone

  absl::Mutex mutex_;
  std::map<Incarnation, Gang> gangs_ ABSL_GUARDED_BY(mutex_);
  // Those of `gangs_` that Slurm does not have yet, in the order of Start();
  // some may be gone meanwhile.
  std::deque<GangSpec> to_submit_ ABSL_GUARDED_BY(mutex_);
  std::vector<NodeInfo> nodes_ ABSL_GUARDED_BY(mutex_);
  // Jobs to cancel when they are seen: by number, those that were requeued; by
  // name, those of which sbatch did not say whether they are there, and until
  // when they are looked for.
  std::set<int64_t> stray_ids_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, absl::Time> stray_names_ ABSL_GUARDED_BY(mutex_);
  bool answers_ ABSL_GUARDED_BY(mutex_) = true;
  bool wake_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread poller_;  // last: it uses all of the above
};

}  // namespace retort::executor

#endif  // RETORT_SERVER_EXECUTOR_SLURM_EXECUTOR_H_
