#include "core/analytic/gaussian_source.h"

#include "core/math/counter_random.h"

namespace retort::analytic {

TeacherSource MakeGaussianSource(const at::Tensor& variances) {
  const at::Tensor v = variances.to(at::kDouble);
  TeacherSource source;
  source.shape = {v.numel()};
  source.teacher_hash = "gaussian";
  source.data_hash = "gaussian";
  source.clean =
      [v](uint64_t seed,
          absl::Span<const int64_t> positions) -> absl::StatusOr<CleanBatch> {
    const auto stream =
        math::MakeStream(seed, math::RandomStream::kDataOrder, 0);
    const at::Tensor z = math::NormalPerSample(stream, positions, {v.numel()});
    return CleanBatch{z.to(at::kDouble) * v.sqrt(), {}};
  };
  source.denoise = [v](const at::Tensor& x, const at::Tensor& t,
                       const at::Tensor& /*labels*/) {
    return x * v / (v + t.unsqueeze(1).square());
  };
  return source;
}

GaussianStatistics ExactGaussianStatistics(const at::Tensor& variances,
                                           double t) {
  const at::Tensor v = variances.to(at::kDouble);
  const at::Tensor a = v / (v + t * t);
  const at::Tensor l = a.mean();
  return {l.item<double>(),
          ((a - l).square() * (v + t * t)).sum().item<double>()};
}

}  // namespace retort::analytic
