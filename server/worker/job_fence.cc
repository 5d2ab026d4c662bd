#include "server/worker/job_fence.h"

#include <sys/stat.h>

#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/run_dir.h"
#include "server/worker/end_hard.h"

namespace retort::worker {
namespace {

// Tells a folder from one that is made later under its name; 0 if there is
// none.
ino_t IdentityOf(const base::JobDir& dir) {
  struct stat info = {};
  return ::stat(dir.path().c_str(), &info) == 0 ? info.st_ino : 0;
}

// Why incarnation `own`, which was given the folder `identity`, may not write
// into it; nothing if it may.
std::optional<std::string> Objection(const base::JobDir& dir, ino_t identity,
                                     int64_t own) {
  // Its epochs begin anew.
  if (identity != 0 && IdentityOf(dir) != identity) {
    return absl::StrCat(dir.path(), " is another job's by now");
  }
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
  const ino_t identity = IdentityOf(dir);
  return {[own, identity, dir] {
            if (const auto why = Objection(dir, identity, own)) {
              EndHard(kWorkerFenced, *why);
            }
          },
          own};
}

}  // namespace retort::worker
