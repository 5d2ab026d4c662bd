#include "core/train/fence.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"

namespace retort::train {
namespace {

constexpr absl::string_view kSuffix = ".tmp";

// Removes the temporaries in a folder whose names begin with `prefix`.
void SweepFolder(const std::string& folder, absl::string_view prefix) {
  const auto names = base::ListDir(folder);
  if (!names.ok()) return;  // there is none yet
  for (const std::string& name : *names) {
    if (!absl::StartsWith(name, prefix) || !absl::EndsWith(name, kSuffix)) {
      continue;
    }
    const std::string path = absl::StrCat(folder, "/", name);
    const absl::Status removed = base::RemoveTree(path);
    if (removed.ok()) {
      RETORT_LOG(info, "removed {}, which an earlier worker left", path);
    } else {
      RETORT_LOG(warn, "{}", std::string(removed.message()));
    }
  }
}

}  // namespace

std::string Fence::Temporary(const std::string& path) const {
  return absl::StrCat(path, ".", epoch, kSuffix);
}

absl::Status PlaceDir(
    const Fence& fence, const std::string& path,
    const std::function<absl::Status(const std::string& directory)>& write) {
  const std::string temporary = fence.Temporary(path);
  fence.Check();
  RETORT_RETURN_IF_ERROR(base::RemoveTree(temporary));
  absl::Status status = write(temporary);
  // Again: to write may have taken long.
  fence.Check();
  if (status.ok()) status = base::ReplaceDir(temporary, path);
  if (!status.ok()) base::RemoveTree(temporary).IgnoreError();
  return status;
}

absl::Status RemoveDir(const Fence& fence, const std::string& path) {
  fence.Check();
  if (!base::FileExists(path)) return absl::OkStatus();
  const std::string doomed = fence.Temporary(path);
  RETORT_RETURN_IF_ERROR(base::RemoveTree(doomed));
  RETORT_RETURN_IF_ERROR(base::Rename(path, doomed));
  return base::RemoveTree(doomed);
}

void SweepTemporaries(const Fence& fence, const base::JobDir& dir) {
  fence.Check();
  SweepFolder(dir.checkpoints_dir(), "");
  SweepFolder(dir.path(), "result.");
}

}  // namespace retort::train
