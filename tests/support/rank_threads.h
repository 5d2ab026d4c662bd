#ifndef RETORT_TESTS_SUPPORT_RANK_THREADS_H_
#define RETORT_TESTS_SUPPORT_RANK_THREADS_H_

#include <stdlib.h>

// For tests whose ranks are threads of one process; workers are processes.
namespace retort::testing {

// LibTorch 2.11 notes each collective in one table of the process, in part
// without a lock, which several ranks break. This turns it off; before main(),
// since the table reads it when it is made.
inline const bool kNoFlightRecorder =
    setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/1) == 0;

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_RANK_THREADS_H_
