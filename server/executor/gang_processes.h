#ifndef RETORT_SERVER_EXECUTOR_GANG_PROCESSES_H_
#define RETORT_SERVER_EXECUTOR_GANG_PROCESSES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/executor/executor.h"
#include "server/executor/process.h"

// The processes of a gang on this machine: their names on the command line and
// in handles, and how they end as one.
namespace retort::executor {

// "local 12:345,13:347": pid and start of each rank.
std::string ToHandle(const std::vector<ProcessId>& ranks);
// FailedPrecondition if it is no handle of the local executor.
absl::StatusOr<std::vector<ProcessId>> FromHandle(const std::string& handle);

// The arguments by which the processes of a gang are known again.
std::vector<std::string> GangArguments(const std::string& socket_path,
                                       const std::string& subject,
                                       int64_t epoch);
std::vector<std::string> RankArguments(int rank, int ranks);

// Looks through all processes of this user for those of a gang, by rank; one
// that is not there has pid 0. Empty if there is none.
std::vector<ProcessId> FindGang(const std::vector<std::string>& arguments);

// Value of a variable in the environment that a process was started with;
// empty if there is none or it cannot be read.
std::string EnvironmentOf(int64_t pid, const std::string& variable);

// Gathers how the ranks of a gang end and says how the gang did: the first one
// that ended badly by itself is to blame.
class GangEnd {
 public:
  explicit GangEnd(int ranks) : ranks_(ranks) {}

  // `killed`: the executor has sent all ranks SIGKILL before.
  void Add(int rank, const ExitStatus& exit, bool killed);

  // A rank ended so that the others cannot go on.
  bool is_bad() const { return weight_ >= Weight::kPeersLost; }
  // It was lost by itself, not for want of another one.
  bool has_culprit() const { return weight_ == Weight::kCulprit; }
  const ExitStatus& exit() const { return exit_; }

 private:
  // A later end replaces an earlier one only if it weighs more.
  enum class Weight { kDone, kKilledByUs, kPeersLost, kCulprit };

  int ranks_;
  Weight weight_ = Weight::kDone;
  ExitStatus exit_;
};

}  // namespace retort::executor

#endif  // RETORT_SERVER_EXECUTOR_GANG_PROCESSES_H_
