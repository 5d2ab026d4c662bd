#include "core/distill/cm_loss.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/distill/teacher_target.h"
#include "core/math/counter_random.h"
#include "core/math/edm_precond.h"

namespace retort::distill {

using math::ExpandLike;
using math::RandomStream;

absl::StatusOr<CmWeight> ParseCmWeight(absl::string_view name) {
  if (name == "uniform") return CmWeight::kUniform;
  if (name == "karras" || name == "karras_weight") return CmWeight::kKarras;
  if (name == "snr") return CmWeight::kSnr;
  if (name == "snr+1") return CmWeight::kSnrPlusOne;
  if (name == "truncated-snr") return CmWeight::kTruncatedSnr;
  if (name == "sq-t-inverse") return CmWeight::kRoot;
  return absl::InvalidArgumentError(
      absl::StrCat("cm weight: \"", name,
                   "\" is unknown; use uniform, karras, snr, snr+1, "
                   "truncated-snr or sq-t-inverse"));
}

at::Tensor PairWeight(CmWeight weight, const at::Tensor& t, double sigma_data) {
  switch (weight) {
    case CmWeight::kKarras:
      return t.pow(-2) + 1 / (sigma_data * sigma_data);
    case CmWeight::kSnr:
      return t.pow(-2);
    case CmWeight::kSnrPlusOne:
      return t.pow(-2) + 1;
    case CmWeight::kTruncatedSnr:
      return t.pow(-2).clamp_min(1);
    case CmWeight::kRoot:
      return t.sqrt();
    case CmWeight::kUniform:
      break;
  }
  return at::ones_like(t);
}

CmLoss::CmLoss(const CmLossOptions& options,
               std::shared_ptr<const Distance> distance)
    : options_(options),
      distance_(std::move(distance)),
      grid_(torch::tensor(math::TimeGrid(options.schedule, options.num_times),
                          at::kDouble)) {
  RETORT_CHECK(options.num_times >= 2);
}

CmDraws CmLoss::Draw(uint64_t seed, int64_t step,
                     absl::Span<const int64_t> samples,
                     at::IntArrayRef image_shape) const {
  CmDraws draws;
  const int64_t pairs = options_.num_times - 1;
  const at::Tensor u = math::UniformPerSample(
      math::MakeStream(seed, RandomStream::kTrainTime, step), samples, 1);
  draws.index = (u.flatten() * pairs).floor().to(at::kLong).clamp(0, pairs - 1);
  draws.noise = math::NormalPerSample(
      math::MakeStream(seed, RandomStream::kTrainNoise, step), samples,
      image_shape);
  return draws;
}

CmLossResult CmLoss::Evaluate(const nn::ConsistencyModel& student,
                              const nn::ConsistencyModel& target,
                              nn::EdmDenoiser* teacher, const LossBatch& batch,
                              const CmDraws& draws,
                              uint64_t dropout_seed) const {
  const at::Tensor& x0 = batch.images;
  // Draws are made on the CPU, whatever the device.
  const at::Tensor grid = grid_.to(x0.device());
  const at::Tensor index = draws.index.to(x0.device());
  CmLossResult r;
  r.t = grid.index_select(0, index);
  r.u = grid.index_select(0, index + 1);
  const at::Tensor eps = at::full_like(r.t, options_.schedule.sigma_min);
  const at::Tensor noise = draws.noise.to(x0.device(), at::kDouble);
  r.x_t = x0.to(at::kDouble) + noise * ExpandLike(r.t, noise);
  if (teacher != nullptr) {
    r.x_u = HeunAlongGrid(*teacher, r.x_t, grid, index, 1, batch.labels);
  } else {
    // The ODE of a single datum is a straight line: D = x0, so Heun's step is
    // exact and keeps the noise.
    r.x_u = x0.to(at::kDouble) + noise * ExpandLike(r.u, noise);
  }
  {
    torch::NoGradGuard no_grad;
    if (dropout_seed != 0) torch::manual_seed(dropout_seed);
    r.target = target.Jump(r.x_u, r.u, eps, batch.labels);
  }
  if (dropout_seed != 0) torch::manual_seed(dropout_seed);
  r.estimate = student.Jump(r.x_t, r.t, eps, batch.labels);
  // CM, Eq. 7: E[lambda(t) d(f_theta(x_t, t), f_sg(x_u, u))].
  r.per_sample = distance_->PerSample(r.estimate, r.target);
  r.per_sample = r.per_sample *
                 PairWeight(options_.weight, r.t, options_.schedule.sigma_data)
                     .to(r.per_sample.options());
  r.total = r.per_sample.mean();
  return r;
}

}  // namespace retort::distill
