#include "server/worker/job_fence.h"

#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/run_dir.h"
#include "server/worker/end_hard.h"

namespace retort::worker {
namespace {

// Why incarnation `own` may not write into the folder; nothing if it may.
std::optional<std::string> Objection(const base::JobDir& dir, int64_t own) {
  const absl::StatusOr<std::string> text = base::ReadFile(dir.epoch_path(), 64);
  // What is written into a folder that was removed would make it anew.
  if (absl::IsNotFound(text.status()) && base::IsDirectory(dir.path())) {
    return std::nullopt;
  }
  if (!text.ok()) {
    return absl::StrCat("nothing says whose this job is: ",
                        text.status().message());
  }
  int64_t epoch = 0;
  if (!absl::SimpleAtoi(*text, &epoch)) {
    return absl::StrCat("nothing says whose this job is: ", dir.epoch_path(),
                        " is not a number");
  }
  if (epoch == own) return std::nullopt;
  return absl::StrCat("another worker has this job: its epoch is ", epoch,
                      ", that of this process ", own);
}

}  // namespace

train::Fence FenceOf(const internal::v1::Assignment& assignment) {
  const int64_t own = assignment.epoch();
  const base::JobDir dir(assignment.job_dir());
  return {[own, dir] {
            if (const auto why = Objection(dir, own)) {
              EndHard(kWorkerFenced, *why);
            }
          },
          own};
}

}  // namespace retort::worker
