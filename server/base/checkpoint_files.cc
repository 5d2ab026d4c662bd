#include "server/base/checkpoint_files.h"

#include <vector>

#include "core/base/file.h"
#include "core/base/run_dir.h"
#include "core/base/status_macros.h"

namespace retort::service {

absl::StatusOr<v1::Checkpoint> ReadCheckpoint(int64_t step,
                                              const std::string& directory) {
  v1::Checkpoint checkpoint;
  checkpoint.set_step(step);
  RETORT_ASSIGN_OR_RETURN(
      *checkpoint.mutable_sha256(),
      base::Sha256File(base::JobDir::CheckpointManifestPath(directory)));
  RETORT_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                          base::ListDir(directory));
  for (const std::string& file : files) {
    checkpoint.set_bytes(checkpoint.bytes() +
                         base::FileSize(directory + "/" + file).value_or(0));
  }
  return checkpoint;
}

}  // namespace retort::service
