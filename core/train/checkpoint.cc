#include "core/train/checkpoint.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace retort::train {
namespace {

constexpr char kFormat[] = "retort-checkpoint";
constexpr char kTensorsFile[] = "tensors.safetensors";
constexpr char kManifestFile[] = "manifest.json";
constexpr int64_t kMaxManifestBytes = int64_t{16} << 20;

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat("checkpoint ", path, " is damaged: ", what));
}

// Returns the manifest if it is whole and of a version we know.
absl::StatusOr<nlohmann::json> ReadManifest(const std::string& dir) {
  const std::string path = absl::StrCat(dir, "/", kManifestFile);
  absl::StatusOr<std::string> text = base::ReadFile(path, kMaxManifestBytes);
  if (!text.ok()) return Damaged(dir, text.status().message());
  nlohmann::json manifest =
      nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!manifest.is_object() || manifest.value("format", "") != kFormat ||
      !manifest.contains("files") || !manifest.contains("state")) {
    return Damaged(dir, "its manifest.json is not a checkpoint's manifest");
  }
  const int version = manifest.value("format_version", 0);
  if (version != kCheckpointFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("checkpoint ", dir, " has format version ", version,
                     "; this program reads ", kCheckpointFormatVersion,
                     ". Resume it with the version of retort that wrote it."));
  }
  if (manifest.value("state_sha256", "") !=
      base::Sha256Hex(manifest["state"].dump())) {
    return Damaged(dir, "its manifest's state does not match its hash");
  }
  return manifest;
}

}  // namespace

void SetCheckpointMetric(const std::string& name, double value,
                         nlohmann::json* state) {
  (*state)["metric"] = {{"name", name}, {"value", value}};
}

std::optional<double> CheckpointMetric(const nlohmann::json& state,
                                       const std::string& name) {
  const auto found = state.find("metric");
  if (found == state.end() || !found->is_object() ||
      found->value("name", "") != name || !found->contains("value") ||
      !(*found)["value"].is_number()) {
    return std::nullopt;
  }
  return (*found)["value"].get<double>();
}

CheckpointStore::CheckpointStore(base::JobDir dir, Retention retention,
                                 Warning warning, Fence fence)
    : dir_(std::move(dir)),
      retention_(std::move(retention)),
      warning_(std::move(warning)),
      fence_(std::move(fence)) {}

absl::StatusOr<nlohmann::json> CheckpointStore::WriteInto(
    const std::string& path, const Checkpoint& checkpoint) const {
  RETORT_RETURN_IF_ERROR(base::MakeDirs(path));
  std::string hash;
  RETORT_RETURN_IF_ERROR(
      io::WriteSafetensors(absl::StrCat(path, "/", kTensorsFile),
                           checkpoint.tensors, {{"format", "pt"}}, &hash));
  const nlohmann::json manifest = {
      {"format", kFormat},
      {"format_version", kCheckpointFormatVersion},
      {"step", checkpoint.step},
      {"files", {{kTensorsFile, hash}}},
      {"state", checkpoint.state},
      {"state_sha256", base::Sha256Hex(checkpoint.state.dump())},
  };
  RETORT_RETURN_IF_ERROR(base::AtomicWriteFile(
      absl::StrCat(path, "/", kManifestFile), manifest.dump(2) + "\n"));
  return manifest;
}

absl::StatusOr<nlohmann::json> CheckpointStore::Save(
    const Checkpoint& checkpoint, bool remove_old) {
  absl::StatusOr<nlohmann::json> manifest;
  const absl::Status status = PlaceDir(
      fence_, Path(checkpoint.step), [&](const std::string& directory) {
        manifest = WriteInto(directory, checkpoint);
        return manifest.status();
      });
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat("saving the checkpoint of step ",
                                     checkpoint.step, ": ", status.message()));
  }
  metrics_[checkpoint.step] =
      CheckpointMetric(checkpoint.state, retention_.metric);
  if (remove_old) RemoveOld();
  return manifest;
}

absl::Status CheckpointStore::RemoveAfter(int64_t step) {
  RETORT_ASSIGN_OR_RETURN(const std::vector<int64_t> steps,
                          dir_.ListCheckpoints());
  for (const int64_t s : steps) {
    if (s <= step) continue;
    RETORT_RETURN_IF_ERROR(RemoveDir(fence_, Path(s)));
    metrics_.erase(s);
  }
  return absl::OkStatus();
}

std::set<int64_t> CheckpointStore::Best(const std::vector<int64_t>& steps) {
  std::vector<std::pair<double, int64_t>> ranked;  // equal: the newer one first
  for (const int64_t step : steps) {
    auto known = metrics_.find(step);
    if (known == metrics_.end()) {
      const auto manifest = ReadManifest(Path(step));
      known = metrics_
                  .emplace(step, manifest.ok()
                                     ? CheckpointMetric((*manifest)["state"],
                                                        retention_.metric)
                                     : std::nullopt)
                  .first;
    }
    if (known->second.has_value()) ranked.push_back({*known->second, -step});
  }
  std::sort(ranked.begin(), ranked.end());
  std::set<int64_t> best;
  for (const auto& [value, minus_step] : ranked) {
    if (static_cast<int64_t>(best.size()) == retention_.best) break;
    best.insert(-minus_step);
  }
  return best;
}

void CheckpointStore::RemoveOld() {
  const auto steps = dir_.ListCheckpoints();
  if (!steps.ok()) return;
  const std::set<int64_t> best =
      retention_.best > 0 ? Best(*steps) : std::set<int64_t>();
  const int64_t excess = static_cast<int64_t>(steps->size()) -
                         std::max<int64_t>(retention_.newest, 1);
  for (int64_t i = 0; i < excess; ++i) {
    const int64_t step = (*steps)[i];
    if (best.count(step) > 0 ||
        (retention_.every > 0 && step % retention_.every == 0)) {
      continue;
    }
    const absl::Status removed = RemoveDir(fence_, Path(step));
    if (!removed.ok()) {
      warning_(absl::StrCat("removing the old checkpoint ", Path(step),
                            " failed: ", removed.message()));
    }
    metrics_.erase(step);
  }
}

absl::StatusOr<Checkpoint> LoadCheckpoint(const std::string& path) {
  if (!base::IsDirectory(path)) {
    return absl::NotFoundError(absl::StrCat("there is no checkpoint ", path));
  }
  RETORT_ASSIGN_OR_RETURN(const nlohmann::json manifest, ReadManifest(path));
  const std::string expected = manifest["files"].value(kTensorsFile, "");
  std::string actual;
  absl::StatusOr<io::SafetensorsFile> file =
      io::ReadSafetensors(absl::StrCat(path, "/", kTensorsFile), &actual);
  if (!file.ok()) return Damaged(path, file.status().message());
  if (actual != expected) {
    return Damaged(path, absl::StrCat(kTensorsFile, " has SHA-256 ", actual,
                                      ", its manifest says ", expected));
  }
  Checkpoint checkpoint;
  checkpoint.step = manifest.value("step", int64_t{-1});
  checkpoint.tensors = std::move(file->tensors);
  checkpoint.state = manifest["state"];
  return checkpoint;
}

absl::StatusOr<Checkpoint> CheckpointStore::Load(int64_t step) const {
  RETORT_ASSIGN_OR_RETURN(Checkpoint checkpoint, LoadCheckpoint(Path(step)));
  if (checkpoint.step == step) return checkpoint;
  return Damaged(Path(step), absl::StrCat("its manifest is that of step ",
                                          checkpoint.step));
}

absl::StatusOr<std::optional<Checkpoint>> CheckpointStore::LoadNewest(
    bool good_only) const {
  bool passed_over = false;
  RETORT_ASSIGN_OR_RETURN(const std::vector<int64_t> steps,
                          dir_.ListCheckpoints());
  for (size_t i = steps.size(); i-- > 0;) {
    absl::StatusOr<Checkpoint> loaded = Load(steps[i]);
    if (loaded.ok()) {
      if (!good_only || loaded->state.value("good", true)) {
        return std::optional<Checkpoint>(*std::move(loaded));
      }
      passed_over = true;
      continue;
    }
    if (!absl::IsDataLoss(loaded.status())) return loaded.status();
    warning_(
        absl::StrCat(loaded.status().message(),
                     i > 0 ? absl::StrCat("; going back to step ", steps[i - 1])
                           : std::string("; there is no older one")));
  }
  if (!steps.empty() && !passed_over) {
    return absl::DataLossError(absl::StrCat(
        "all ", steps.size(), " checkpoints in ", dir_.checkpoints_dir(),
        " are damaged; remove that folder to start from the beginning"));
  }
  return std::optional<Checkpoint>();
}

}  // namespace retort::train
