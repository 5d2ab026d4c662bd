#ifndef RETORT_SERVER_WEIGHTS_CHECK_H_
#define RETORT_SERVER_WEIGHTS_CHECK_H_

#include <string>

#include "absl/status/status.h"

namespace retort {

// Checks the weights in a model's folder against its network, in a process of
// its own: `<worker_binary> --check-model <dir>` loads them with LibTorch and
// prints {"ok": bool, "error": string}. Hostile weights cost that process
// only. Blocks for seconds; a run that hangs is killed.
//
// Errors: INVALID_ARGUMENT (FILE_INVALID) with the tensor that does not fit,
// also when the process dies of the file; UNAVAILABLE if it cannot be started
// or takes too long.
absl::Status CheckWeights(const std::string& worker_binary,
                          const std::string& dir);

}  // namespace retort

#endif  // RETORT_SERVER_WEIGHTS_CHECK_H_
