#ifndef RETORT_SERVER_WORKER_END_HARD_H_
#define RETORT_SERVER_WORKER_END_HARD_H_

#include <string>

namespace retort::worker {

// Exit codes of the process, for the job's log.
enum WorkerExit {
  kWorkerDone = 0,         // the end was said, or a signal asked for it
  kWorkerFailed = 1,       // a replica could not serve; the reason was said
  kWorkerUsage = 2,        // the command line
  kWorkerNotAssigned = 3,  // nothing to do came within the lease
  kWorkerFenced = 4,       // another incarnation has taken over
  kWorkerUnheard = 5,      // done, but no server took note of it
  kWorkerStuck = 6,        // the lease had ended, and the task would not
  // Another rank of the gang has vanished, so that this one could not go on;
  // not the one to blame (executor::kPeersLostExitCode).
  kWorkerPeersLost = 14,
};

// Ends the process from any thread, whatever the others are at, and runs no
// destructor, which could write something. `why` goes to the log if that can be
// written to within some seconds: its disk may be what hangs.
[[noreturn]] void EndHard(WorkerExit code, const std::string& why);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_END_HARD_H_
