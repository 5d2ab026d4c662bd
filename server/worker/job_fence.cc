#include "server/worker/job_fence.h"

#include <sys/stat.h>

#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
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

struct Objection {
  std::string why;
  // The file system did not say; it may the next time.
  bool doubtful = false;
};

// Why incarnation `own`, which was given the folder `identity`, may not write
// into it; nothing if it may.
std::optional<Objection> Look(const base::JobDir& dir, ino_t identity,
                              int64_t own) {
  const ino_t now = IdentityOf(dir);
  // Its epochs begin anew.
  if (identity != 0 && now != identity) {
    return Objection{
        absl::StrCat(dir.path(),
                     now == 0 ? " is gone" : " is another job's by now"),
        now == 0};
  }
  const absl::StatusOr<std::string> text = base::ReadFile(dir.epoch_path(), 64);
  // What is written into a folder that was removed would make it anew.
  if (absl::IsNotFound(text.status()) && base::IsDirectory(dir.path())) {
    return std::nullopt;
  }
  int64_t epoch = 0;
  if (!text.ok() || !absl::SimpleAtoi(*text, &epoch)) {
    return Objection{
        absl::StrCat("nothing says whose this job is: ",
                     text.ok() ? dir.epoch_path() + " is not a number"
                               : std::string(text.status().message())),
        true};
  }
  if (epoch == own) return std::nullopt;
  return Objection{absl::StrCat("another worker has this job: its epoch is ",
                                epoch, ", that of this process ", own)};
}

}  // namespace

train::Fence FenceOf(const internal::v1::Assignment& assignment,
                     absl::Duration patience) {
  const int64_t own = assignment.epoch();
  const base::JobDir dir(assignment.job_dir());
  const ino_t identity = IdentityOf(dir);
  return {[=] {
            const absl::Time give_up = absl::Now() + patience;
            auto objection = Look(dir, identity, own);
            while (objection && objection->doubtful && absl::Now() < give_up) {
              absl::SleepFor(absl::Milliseconds(200));
              objection = Look(dir, identity, own);
            }
            if (objection) EndHard(kWorkerFenced, objection->why);
          },
          own};
}

}  // namespace retort::worker
