#include "core/distill/edm_loss.h"

#include "core/math/counter_random.h"
#include "core/math/edm_precond.h"

namespace retort::distill {

using math::ExpandLike;
using math::RandomStream;

at::Tensor EdmWeight(const at::Tensor& sigma, double sigma_data) {
  return (sigma.square() + sigma_data * sigma_data) /
         (sigma * sigma_data).square();
}

EdmDraws EdmLoss::Draw(uint64_t seed, int64_t step,
                       absl::Span<const int64_t> samples,
                       at::IntArrayRef image_shape) {
  EdmDraws draws;
  draws.normal =
      math::NormalPerSample(
          math::MakeStream(seed, RandomStream::kTrainTime, step), samples, {1})
          .flatten();
  draws.noise = math::NormalPerSample(
      math::MakeStream(seed, RandomStream::kTrainNoise, step), samples,
      image_shape);
  return draws;
}

EdmLossResult EdmLoss::Evaluate(nn::EdmDenoiser& net, const LossBatch& batch,
                                const EdmDraws& draws) const {
  const at::Tensor& y = batch.images;
  EdmLossResult result;
  // EDM, Table 1: ln(sigma) ~ N(P_mean, P_std^2).
  result.sigma = (draws.normal.to(y.device(), at::kDouble) * options_.p_std +
                  options_.p_mean)
                     .exp();
  const at::Tensor n =
      draws.noise.to(y.options()) * ExpandLike(result.sigma, y);
  const at::Tensor d =
      net.Denoise(y + n, result.sigma, batch.labels, batch.augment);
  // EDM, Eq. 2 with lambda(sigma) of Table 1.
  result.per_element =
      ExpandLike(EdmWeight(result.sigma, options_.sigma_data), y) *
      (d - y).square();
  result.total = result.per_element.sum() / y.size(0);
  return result;
}

}  // namespace retort::distill
