#ifndef RETORT_CORE_DISTILL_CM_LOSS_H_
#define RETORT_CORE_DISTILL_CM_LOSS_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/distill/distance.h"
#include "core/distill/edm_loss.h"
#include "core/math/noise_schedule.h"
#include "core/nn/consistency_model.h"
#include "core/nn/denoiser.h"

namespace retort::distill {

// Weight of a pair by its larger time t: lambda(t) of Song et al. 2023, Eq. 7,
// in the forms and under the names of the authors' code. Numbers never change
// meaning: they are in checkpoints.
enum class CmWeight {
  kUniform,       // 1; all released runs
  kKarras,        // 1/t^2 + 1/sd^2: EDM's, (t^2 + sd^2)/(t sd)^2
  kSnr,           // 1/t^2
  kSnrPlusOne,    // 1/t^2 + 1
  kTruncatedSnr,  // max(1/t^2, 1)
  kRoot,          // sqrt(t), of the authors of CTM
};

// Returns the weight named "uniform", "karras" (or "karras_weight", as the
// authors of CTM call it), "snr", "snr+1", "truncated-snr" or "sq-t-inverse",
// else InvalidArgument.
absl::StatusOr<CmWeight> ParseCmWeight(absl::string_view name);

// Returns the weights, float64 [n], of pairs with larger times t, float64 [n].
at::Tensor PairWeight(CmWeight weight, const at::Tensor& t, double sigma_data);

struct CmLossOptions {
  math::NoiseSchedule schedule;
  int64_t num_times = 18;  // N, points of the time grid; at least 2
  CmWeight weight = CmWeight::kUniform;
};

struct CmDraws {
  at::Tensor index;  // int64 [n] in [0, N-2]; t = grid[index]
  at::Tensor noise;  // [n, c, h, w], unit normal
};

struct CmLossResult {
  at::Tensor t, u;        // float64 [n]; u is the next time of the grid
  at::Tensor x_t, x_u;    // x_u is where the ODE arrives at u
  at::Tensor estimate;    // f_theta(x_t, t)
  at::Tensor target;      // f_sg(x_u, u), no gradient
  at::Tensor per_sample;  // [n], weighted
  at::Tensor total;       // mean over the batch
};

// Consistency distillation (with a teacher; Song et al. 2023, Algorithm 2) and
// consistency training (without; Algorithm 3). A pure function of models, batch
// and draws; the caller runs backward() on `total`. Thread-compatible.
class CmLoss {
 public:
  // `options.num_times` >= 2 is checked (a broken invariant otherwise).
  CmLoss(const CmLossOptions& options,
         std::shared_ptr<const Distance> distance);

  // See EdmLoss::Draw.
  CmDraws Draw(uint64_t seed, int64_t step, absl::Span<const int64_t> samples,
               at::IntArrayRef image_shape) const;

  // `teacher` null means consistency training. Student and target jump to
  // sigma_min; if both are in train() mode and `dropout_seed` is not 0, both
  // see the same dropout masks, as in the reference.
  CmLossResult Evaluate(const nn::ConsistencyModel& student,
                        const nn::ConsistencyModel& target,
                        nn::EdmDenoiser* teacher, const LossBatch& batch,
                        const CmDraws& draws, uint64_t dropout_seed = 0) const;

 private:
  const CmLossOptions options_;
  const std::shared_ptr<const Distance> distance_;
  const at::Tensor grid_;  // float64 [N]
};

}  // namespace retort::distill

#endif  // RETORT_CORE_DISTILL_CM_LOSS_H_
