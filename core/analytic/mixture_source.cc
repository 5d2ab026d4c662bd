#include "core/analytic/mixture_source.h"

#include "core/math/counter_random.h"

namespace retort::analytic {
namespace {

at::Tensor MixtureDenoised(const GaussianMixture& mixture, const at::Tensor& x,
                           const at::Tensor& t) {
  // [n, k, d] and [n, k].
  const at::Tensor away = x.unsqueeze(1) - mixture.means;
  const at::Tensor total = mixture.variances + t.unsqueeze(1).square();
  const double d = static_cast<double>(x.size(1));
  const at::Tensor r = at::softmax(mixture.weights.log() - d / 2 * total.log() -
                                       away.square().sum(2) / (2 * total),
                                   1);
  const at::Tensor shrink = (mixture.variances / total).unsqueeze(2);
  return (r.unsqueeze(2) * (mixture.means + shrink * away)).sum(1);
}

}  // namespace

TeacherSource MakeMixtureSource(const GaussianMixture& mixture) {
  TeacherSource source;
  const int64_t d = mixture.means.size(1);
  source.shape = {d};
  source.teacher_hash = "mixture";
  source.data_hash = "mixture";
  source.clean =
      [=](uint64_t seed,
          absl::Span<const int64_t> positions) -> absl::StatusOr<CleanBatch> {
    const auto stream =
        math::MakeStream(seed, math::RandomStream::kDataOrder, 0);
    // The last entry chooses the component, by its rank among the weights.
    const at::Tensor z =
        math::NormalPerSample(stream, positions, {d + 1}).to(at::kDouble);
    const at::Tensor rank = at::special_ndtr(z.select(1, d));
    const at::Tensor which = at::searchsorted(mixture.weights.cumsum(0), rank)
                                 .clamp_max(mixture.weights.size(0) - 1);
    const at::Tensor x0 =
        mixture.means.index_select(0, which) +
        z.narrow(1, 0, d) *
            mixture.variances.index_select(0, which).sqrt().unsqueeze(1);
    return CleanBatch{x0, {}};
  };
  source.denoise = [=](const at::Tensor& x, const at::Tensor& t,
                       const at::Tensor& /*labels*/) {
    return MixtureDenoised(mixture, x, t);
  };
  return source;
}

}  // namespace retort::analytic
