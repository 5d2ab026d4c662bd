#include "core/analytic/teacher_source.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/data/data_order.h"

namespace retort::analytic {
namespace {

absl::Status CheckFits(const nn::NetworkConfig& config,
                       const data::Dataset& dataset) {
  if (config.img_resolution != dataset.resolution() ||
      config.img_channels != dataset.channels()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the teacher makes ", config.img_channels, "x", config.img_resolution,
        "x", config.img_resolution, " images but data set ", dataset.name(),
        " has ", dataset.channels(), "x", dataset.resolution(), "x",
        dataset.resolution(), "; choose the data that it was trained on"));
  }
  if (config.label_dim > 0 && config.label_dim != dataset.label_dim()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the teacher knows ", config.label_dim, " classes but data set ",
        dataset.name(), " has ", dataset.label_dim(),
        "; choose the data that it was trained on"));
  }
  return absl::OkStatus();
}

absl::StatusOr<CleanBatch> ReadClean(const data::Dataset& dataset,
                                     int64_t label_dim, uint64_t seed,
                                     absl::Span<const int64_t> positions) {
  std::vector<int64_t> indices;
  indices.reserve(positions.size());
  for (int64_t position : positions) {
    indices.push_back(data::ShuffledIndex(seed, position, dataset.size()));
  }
  at::Tensor images, labels;
  RETORT_RETURN_IF_ERROR(dataset.Get(indices, &images, &labels));
  CleanBatch batch;
  batch.x0 = data::ToFloat(images).to(at::kDouble);
  if (label_dim > 0) {
    batch.labels = at::one_hot(labels, label_dim).to(at::kFloat);
  }
  return batch;
}

}  // namespace

int64_t TeacherSource::dimension() const {
  int64_t d = 1;
  for (int64_t side : shape) d *= side;
  return d;
}

absl::StatusOr<TeacherSource> MakeTeacherSource(
    std::shared_ptr<nn::EdmDenoiser> teacher, const data::Dataset& dataset,
    std::string teacher_hash) {
  const nn::NetworkConfig& config = teacher->config();
  RETORT_RETURN_IF_ERROR(CheckFits(config, dataset));
  if (teacher->is_training()) {
    return absl::InvalidArgumentError(
        "the teacher is in training mode, where dropout would bias its "
        "statistics; call eval() first");
  }
  TeacherSource source;
  const int64_t label_dim = config.label_dim;
  source.clean = [&dataset, label_dim](uint64_t seed,
                                       absl::Span<const int64_t> positions) {
    return ReadClean(dataset, label_dim, seed, positions);
  };
  source.denoise = [teacher](const at::Tensor& x, const at::Tensor& t,
                             const at::Tensor& labels) {
    const at::Device device = teacher->device();
    const at::Tensor there =
        labels.defined() ? labels.to(device, teacher->dtype()) : labels;
    return teacher->Denoise(x.to(device), t.to(device), there).to(x.options());
  };
  source.shape = {dataset.channels(), dataset.resolution(),
                  dataset.resolution()};
  source.sigma_data = config.sigma_data;
  source.relative_rounding =
      teacher->dtype() == at::kDouble ? 0x1p-52 : 0x1p-23;
  source.teacher_hash = std::move(teacher_hash);
  source.data_hash = dataset.manifest_hash();
  return source;
}

}  // namespace retort::analytic
