#ifndef RETORT_CORE_BASE_STOP_FLAG_H_
#define RETORT_CORE_BASE_STOP_FLAG_H_

#include <atomic>

// The process's wish to end, as a lock-free flag that a signal handler may
// set and that loops poll once per step.
//
//   InstallStopSignals();
//   while (!StopRequested()) Step();
//   SaveCheckpoint();
namespace retort::base {

// Makes SIGINT and SIGTERM set the flag instead of ending the process. A
// second SIGINT ends it at once (an impatient Ctrl-C); further SIGTERMs
// change nothing, since supervisors repeat them. Also ignores SIGPIPE and
// SIGXFSZ, so that a closed pipe or a file size limit is an error to handle.
// Call from main() before threads start; further calls do nothing.
void InstallStopSignals();

// True once a signal has come or RequestStop() was called.
bool StopRequested();

// Returns the signal that asked first; 0 if none has (RequestStop() is not a
// signal).
int StopSignal();

// Sets the flag from code. Async-signal-safe.
void RequestStop();

// Returns the flag for code that takes one; lives as long as the process.
const std::atomic<bool>* StopFlag();

// Clears the flag and re-arms the handlers, if they were installed.
void ResetStopForTesting();

}  // namespace retort::base

#endif  // RETORT_CORE_BASE_STOP_FLAG_H_
