#include "core/eval/feature_extractor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/eval/classifier_extractor.h"
#include "core/eval/torchscript_extractor.h"
#include "core/io/model_file.h"

namespace retort::eval {

absl::StatusOr<std::unique_ptr<FeatureExtractor>> FeatureExtractor::Load(
    const std::string& dir, ImageShape shape, at::Device device) {
  RETORT_ASSIGN_OR_RETURN(const io::ModelManifest manifest,
                          io::ReadModelManifest(dir));
  if (manifest.kind != "feature_extractor") {
    return absl::InvalidArgumentError(
        absl::StrCat(dir, " holds a model of kind '", manifest.kind,
                     "', not a feature_extractor"));
  }
  if (manifest.is_torchscript()) {
    return TorchScriptExtractor::Load(dir, shape, device);
  }
  return ClassifierExtractor::Load(dir, device);
}

absl::StatusOr<at::Tensor> FeatureExtractor::Features(
    const at::Tensor& images) const {
  RETORT_ASSIGN_OR_RETURN(Extracted extracted, Extract(images));
  return std::move(extracted.features);
}

}  // namespace retort::eval
