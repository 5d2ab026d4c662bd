#include "server/worker/check_model.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/analytic/artefact.h"
#include "core/base/status_macros.h"
#include "core/eval/feature_extractor.h"
#include "core/io/model_file.h"
#include "server/worker/loaded_model.h"

namespace retort::worker {
namespace {

int64_t CountElements(const io::TensorMap& tensors) {
  int64_t count = 0;
  for (const auto& [name, tensor] : tensors) count += tensor.numel();
  return count;
}

// Tries an extractor on two images of noise.
absl::StatusOr<nlohmann::json> CheckExtractor(const std::string& dir) {
  RETORT_ASSIGN_OR_RETURN(const auto extractor,
                          eval::FeatureExtractor::Load(dir));
  return nlohmann::json{{"ok", true},
                        {"kind", "feature_extractor"},
                        {"parameters", extractor->num_parameters()},
                        {"feature_dim", extractor->dim()},
                        {"channels", extractor->channels()},
                        {"classes", extractor->classes()}};
}

// A classifier for LPIPS may have any layers: whoever uses it looks for names
// and shapes. Here its tensors must be numbers that can be weights.
absl::StatusOr<int64_t> CheckPerceptual(const std::string& dir) {
  RETORT_ASSIGN_OR_RETURN(const io::ModelDirContents contents,
                          io::ReadModelDir(dir));
  for (const auto& [name, tensor] : contents.tensors) {
    if (!tensor.is_floating_point() &&
        !absl::EndsWith(name, "num_batches_tracked")) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor '", name, "' is of ", c10::toString(tensor.scalar_type()),
          ", which weights are not; export the floats alone"));
    }
  }
  return CountElements(contents.tensors);
}

// Returns the number of parameters, or what is wrong.
absl::StatusOr<int64_t> Load(const std::string& dir, const std::string& kind) {
  if (kind == "teacher" || kind == "cm" || kind == "ctm") {
    RETORT_ASSIGN_OR_RETURN(const LoadedNetwork network, LoadNetwork(dir));
    RETORT_RETURN_IF_ERROR(LoadModel(dir).status());
    return network.network->NumParameters();
  }
  if (kind == "preconditioning") {
    RETORT_RETURN_IF_ERROR(analytic::ReadArtefact(dir).status());
  } else if (kind == "perceptual") {
    return CheckPerceptual(dir);
  }
  RETORT_ASSIGN_OR_RETURN(const io::ModelDirContents contents,
                          io::ReadModelDir(dir));
  return CountElements(contents.tensors);
}

absl::StatusOr<nlohmann::json> Check(const std::string& dir) {
  RETORT_ASSIGN_OR_RETURN(const io::ModelManifest manifest,
                          io::ReadModelManifest(dir));
  if (manifest.kind == "feature_extractor") return CheckExtractor(dir);
  RETORT_ASSIGN_OR_RETURN(const int64_t parameters, Load(dir, manifest.kind));
  return nlohmann::json{
      {"ok", true}, {"kind", manifest.kind}, {"parameters", parameters}};
}

nlohmann::json Failure(const std::string& message) {
  return {{"ok", false}, {"error", message}};
}

}  // namespace

nlohmann::json CheckModel(const std::string& dir) {
  try {
    const absl::StatusOr<nlohmann::json> result = Check(dir);
    if (result.ok()) return *result;
    return Failure(std::string(result.status().message()));
  } catch (const c10::Error& error) {
    return Failure(error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return Failure("out of memory while loading the model");
  }
}

}  // namespace retort::worker
