#ifndef RETORT_SERVER_JOBS_JOB_STATE_H_
#define RETORT_SERVER_JOBS_JOB_STATE_H_

#include <string>
#include <vector>

#include "retort/v1/job_service.pb.h"

// The states of a job and the arrows between them, drawn here once:
//
//   QUEUED -----> STARTING -----> RUNNING -----> SUCCEEDED | FAILED
//     ^ |            |  |          |   |
//     | +-> CANCELLED|  |          |   +-> QUEUED (worker lost, server stopped)
//     | +-> FAILED   |  |          |
//     | +-> PAUSED   |  |          |
//     +--------------+  +----+-----+
//                            |
//                            +-> CANCELLED  by somebody in the executor's queue
//                            |
//                            +-> CANCELLING -> CANCELLED
//                            |       ^         | SUCCEEDED (it was faster)
//                            |       |
//                            +-> PAUSING ----> PAUSED
//                                              | SUCCEEDED | FAILED (faster)
//
//   PAUSED -> QUEUED | CANCELLED          on request
//   CANCELLED | FAILED -> QUEUED          on request: an end, but not for good
//
// Rule of publication: a state is committed to the database before anyone
// hears of it, and every change of state is an event of the job.
namespace retort::jobs {

using State = v1::Job::State;

// True if the arrow from -> to exists. A state has no arrow to itself.
bool CanMove(State from, State to);

// True for the states that a job stays in unless somebody resumes it.
bool IsEnded(State state);

// True for the states from which a job is put back in the queue on request.
bool CanResume(State state);

// True for the states in which a worker process may exist.
bool HasWorker(State state);

// "RUNNING".
std::string StateName(State state);

// All states but UNSPECIFIED, in the order of their numbers.
const std::vector<State>& AllStates();

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_JOB_STATE_H_
