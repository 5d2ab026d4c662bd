#include "server/jobs/copy_checkpoint.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/link_tree.h"
#include "core/base/run_dir.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace retort::jobs {
namespace {

constexpr int64_t kMaxCheckpointManifest = int64_t{16} << 20;

}  // namespace

absl::Status CopyCheckpoint(const std::string& from, const std::string& sha256,
                            const std::string& to) {
  const auto damaged = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat("checkpoint ", from,
                                            " is damaged: ", what,
                                            "; begin with another one"));
  };
  RETORT_RETURN_IF_ERROR(base::LinkTree(from, to));
  RETORT_ASSIGN_OR_RETURN(
      const std::string text,
      base::ReadFile(base::JobDir::CheckpointManifestPath(to),
                     kMaxCheckpointManifest));
  if (!sha256.empty() && base::Sha256Hex(text) != sha256) {
    return damaged("its manifest is not what it was when it was written");
  }
  const nlohmann::json manifest =
      nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!manifest.is_object() || !manifest.contains("files") ||
      !manifest["files"].is_object()) {
    return damaged("its manifest.json is not a checkpoint's manifest");
  }
  for (const auto& file : manifest["files"].items()) {
    if (!base::FileExists(absl::StrCat(to, "/", file.key()))) {
      return damaged(absl::StrCat(file.key(), " is missing"));
    }
  }
  return absl::OkStatus();
}

}  // namespace retort::jobs
