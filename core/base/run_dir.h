#ifndef RETORT_CORE_BASE_RUN_DIR_H_
#define RETORT_CORE_BASE_RUN_DIR_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// The one place that builds and parses names on disk. These classes are
// values that hold a path and compute others; they touch no disk (but
// ListCheckpoints). The layout is described in docs/formats.md.
namespace retort::base {

// Returns `id` as one path component: characters other than A-Z a-z 0-9 _ -
// and inner dots become %XX, so that no id, whoever chose it, names anything
// outside its folder. An empty id becomes "%".
std::string PathComponent(absl::string_view id);

// <root>/models/<id>/ or any other directory in the model format.
class ModelDir {
 public:
  explicit ModelDir(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  std::string manifest_path() const { return path_ + "/manifest.json"; }
  std::string weights_path() const { return path_ + "/weights.safetensors"; }

 private:
  std::string path_;
};

// <root>/jobs/<id>/: everything one job leaves.
class JobDir {
 public:
  explicit JobDir(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  std::string spec_path() const { return path_ + "/spec.json"; }
  std::string log_path() const { return path_ + "/worker.log"; }
  // The incarnation that may write here, as a number: a worker of an earlier
  // one that nobody could reach finds itself out by it.
  std::string epoch_path() const { return path_ + "/epoch"; }
  std::string checkpoints_dir() const { return path_ + "/checkpoints"; }
  std::string result_dir() const { return path_ + "/result"; }
  // Of a job cloned from a checkpoint: the copy of that one which it begins
  // with. Not among ListCheckpoints().
  std::string start_dir() const { return path_ + "/start"; }
  // In start_dir() and in checkpoints: what the other files must be.
  static std::string CheckpointManifestPath(absl::string_view checkpoint_dir) {
    return std::string(checkpoint_dir) + "/manifest.json";
  }

  // Returns checkpoints/00001234 for step 1234; later steps simply get more
  // digits. `step` is not negative.
  std::string checkpoint_dir(int64_t step) const;

  // Returns the steps that have a checkpoint directory, ascending. Other
  // names, temporary ones among them, are ignored; a missing directory is an
  // empty list. Whether a checkpoint is whole is for its reader to say.
  absl::StatusOr<std::vector<int64_t>> ListCheckpoints() const;

 private:
  std::string path_;
};

// Returns the step that a checkpoint directory's name ("00001234", no path)
// stands for; nullopt for any other name.
std::optional<int64_t> ParseCheckpointName(absl::string_view name);

// The service's data directory.
class DataDir {
 public:
  explicit DataDir(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }
  std::string db_path() const { return root_ + "/retort.db"; }
  // The unix socket on which local workers reach the server.
  std::string socket_path() const { return root_ + "/worker.sock"; }
  // Held locked by the one server that uses this directory.
  std::string lock_path() const { return root_ + "/retortd.lock"; }
  // Where the running server says its pid and addresses.
  std::string addresses_path() const { return root_ + "/retortd.json"; }
  std::string jobs_dir() const { return root_ + "/jobs"; }
  std::string job_dir(absl::string_view id) const {
    return jobs_dir() + "/" + PathComponent(id);
  }
  // What can be computed again: statistics of data sets for evaluations.
  std::string cache_dir() const { return root_ + "/cache"; }
  std::string models_dir() const { return root_ + "/models"; }
  std::string model_dir(absl::string_view id) const {
    return models_dir() + "/" + PathComponent(id);
  }
  // Files on their way in: emptied at each start of the server.
  std::string incoming_dir() const { return root_ + "/incoming"; }
  std::string deployments_dir() const { return root_ + "/deployments"; }
  std::string deployment_dir(absl::string_view id) const {
    return deployments_dir() + "/" + PathComponent(id);
  }

 private:
  std::string root_;
};

}  // namespace retort::base

#endif  // RETORT_CORE_BASE_RUN_DIR_H_
