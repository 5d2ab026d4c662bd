#include "server/worker/perceptual_distance.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/io/model_file.h"
#include "server/worker/spec_to_options.h"

namespace retort::worker {

absl::StatusOr<std::shared_ptr<const distill::Distance>> LoadPerceptual(
    const TaskContext& context, const v1::LpipsSpec& spec, int64_t side,
    distill::DistanceOptions* options) {
  PerceptualOptions wanted = ToPerceptualOptions(spec, side);
  RETORT_ASSIGN_OR_RETURN(const std::string backbone_dir,
                          context.ModelDir(spec.backbone()));
  RETORT_ASSIGN_OR_RETURN(const std::string heads_dir,
                          context.ModelDir(spec.heads()));
  RETORT_ASSIGN_OR_RETURN(const io::ModelDirContents backbone,
                          io::ReadModelDir(backbone_dir));
  RETORT_ASSIGN_OR_RETURN(const io::ModelDirContents heads,
                          io::ReadModelDir(heads_dir));
  auto lpips =
      distill::Lpips::Create(wanted.lpips, backbone.tensors, heads.tensors);
  if (!lpips.ok()) {
    return absl::Status(
        lpips.status().code(),
        absl::StrCat("LPIPS from ", spec.backbone(), " and ", spec.heads(),
                     ": ", lpips.status().message()));
  }
  wanted.distance.backbone_sha256 = backbone.manifest.weights_sha256;
  wanted.distance.heads_sha256 = heads.manifest.weights_sha256;
  *options = wanted.distance;
  return *std::move(lpips);
}

}  // namespace retort::worker
