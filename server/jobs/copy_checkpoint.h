#ifndef RETORT_SERVER_JOBS_COPY_CHECKPOINT_H_
#define RETORT_SERVER_JOBS_COPY_CHECKPOINT_H_

#include <string>

#include "absl/status/status.h"

namespace retort::jobs {

// Copies a checkpoint's folder `from` to the new folder `to`, with hard links
// where possible, and checks that the copy is whole: a job that runs may have
// removed the checkpoint meanwhile, file by file. `sha256` is that of its
// manifest; empty: not known. What the other files hold is for the worker to
// verify. NotFound: it is not there (any more). DataLoss: it is damaged. On an
// error `to` may hold a part.
absl::Status CopyCheckpoint(const std::string& from, const std::string& sha256,
                            const std::string& to);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_COPY_CHECKPOINT_H_
