#ifndef RETORT_CORE_TRAIN_FENCE_H_
#define RETORT_CORE_TRAIN_FENCE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "core/base/run_dir.h"

namespace retort::train {

// Keeps two incarnations of a job apart in its folder, of which the elder may
// not know that it is over. A value; the default one lets everything pass.
struct Fence {
  // Ends the process if another incarnation has the job now. Called right
  // before anything is put under its final name or taken from there. May be
  // empty; any thread.
  std::function<void()> check;
  // Which incarnation this is: no two build under the same name.
  int64_t epoch = 0;

  void Check() const {
    if (check) check();
  }
  // The name beside `path` under which what is to stand there is made, and
  // what has stood there is removed.
  std::string Temporary(const std::string& path) const;
};

// Puts the directory that `write` makes at `path`, in the place of what was
// there. `write` gets another name to make it under. On an error, its own or
// one of core/base/file.h, `path` is as it was and nothing is left.
absl::Status PlaceDir(
    const Fence& fence, const std::string& path,
    const std::function<absl::Status(const std::string& directory)>& write);

// Removes a directory under another name, so that no half of it is ever found
// under this one. OK if there is none. Errors: those of core/base/file.h.
absl::Status RemoveDir(const Fence& fence, const std::string& path);

// Removes what incarnations that were killed left half made or half removed.
// What cannot be removed is logged.
void SweepTemporaries(const Fence& fence, const base::JobDir& dir);

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_FENCE_H_
