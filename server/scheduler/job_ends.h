#ifndef RETORT_SERVER_SCHEDULER_JOB_ENDS_H_
#define RETORT_SERVER_SCHEDULER_JOB_ENDS_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "retort/internal/v1/worker.pb.h"
#include "server/executor/executor.h"
#include "server/jobs/job_store.h"
#include "server/jobs/model_lookup.h"

namespace retort::scheduler {

struct JobEndsOptions {
  // Gangs that a job may lose in a row without a new checkpoint.
  int max_failures = 3;
  // Wait before the next try; doubles with each loss.
  absl::Duration backoff = absl::Seconds(2);
  // Wait before a job runs again that found the disk full, for which there was
  // no process, or whose node was lost; doubles each time, up to max_wait. Such
  // a job waits for people, or for its luck, and is not given up.
  absl::Duration first_wait = absl::Seconds(10);
  absl::Duration max_wait = absl::Minutes(10);
};

// What becomes of a job, in the store, when its gang ends one way or another,
// and how long it has to wait then. A job that was being paused or cancelled
// meanwhile becomes what was asked for. Methods return the store's errors, and
// may be called again then; a job that has no worker is left alone. Not
// thread-safe.
class JobEnds {
 public:
  JobEnds(const JobEndsOptions& options, base::Clock* clock,
          jobs::JobStore* store, jobs::ModelLookup* models)
      : options_(options), clock_(clock), store_(store), models_(models) {}

  // The last word of its rank 0, which is not in the store yet. A result that
  // is no good is its failure.
  absl::Status Say(const std::string& name,
                   const internal::v1::TaskEnded& ended);
  absl::Status Fail(const std::string& name, const std::string& reason);
  absl::Status Cancelled(const std::string& name, const std::string& reason);
  // A rank that the executor ends from outside gets a signal first, and says
  // that it has stopped: the job is in the queue before anybody knows why. If
  // it was cancelled there it does not go on.
  absl::Status StoppedBy(const std::string& name,
                         const executor::ExitStatus& exit);
  // The gang ended without a last word: a failure, that is tried again.
  // `details` are for the events: the last lines of the log.
  absl::Status Lost(const std::string& name, const std::string& cause,
                    const std::string& details);
  // The same where the job cannot help it, and no failure is counted.
  absl::Status LostNode(const std::string& name, const std::string& cause);
  absl::Status Requeue(const std::string& name, const std::string& reason);
  // Requeues, for a while that grows each time.
  absl::Status PutOff(const std::string& name, const std::string& reason);

  // When the job may start again; it waits no more after NoWait().
  absl::Time NotBefore(const std::string& name) const;
  void NoWait(const std::string& name) { delays_.erase(name); }

  // "goes on from its last checkpoint", or that it starts again.
  std::string WhatNext(const std::string& name) const;

 private:
  bool HasCheckpoint(const std::string& name) const;
  // The gang may have written one, and ended before it could say so. An error
  // of the store is returned, of the files logged.
  absl::Status LookForCheckpoints(const std::string& name);
  absl::Status Succeed(const std::string& name,
                       const internal::v1::TaskEnded& ended);
  absl::Status Stop(const std::string& name,
                    const internal::v1::TaskEnded& ended);
  // Puts a job that is neither paused nor cancelled back in the queue.
  absl::Status Requeue(const std::string& name, const std::string& reason,
                       const std::string& warning);
  void Wait(const std::string& name);

  const JobEndsOptions options_;
  base::Clock* const clock_;
  jobs::JobStore* const store_;
  jobs::ModelLookup* const models_;

  struct Delay {
    absl::Time until;
    int waits = 0;  // in a row, without anything done between them
  };
  std::map<std::string, Delay> delays_;
};

// Errors that pass by themselves or once an operator has made room: no reason
// to throw work away.
bool MayPass(const absl::Status& status);

// The store has the change, or will never take it: there is no such job any
// more, or its state has no such arrow. After any other error, whatever it is,
// the store does not know what has become of the job, and is to be told again.
bool IsFinal(const absl::Status& status);

// For what nobody else hears of.
void LogIfError(const std::string& name, const absl::Status& status);

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_JOB_ENDS_H_
