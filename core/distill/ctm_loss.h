#ifndef RETORT_CORE_DISTILL_CTM_LOSS_H_
#define RETORT_CORE_DISTILL_CTM_LOSS_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/distill/cm_loss.h"
#include "core/distill/distance.h"
#include "core/distill/edm_loss.h"
#include "core/math/noise_schedule.h"
#include "core/nn/consistency_model.h"
#include "core/nn/denoiser.h"

namespace retort::distill {

// Who makes the target's inner jump u -> s of CTM, Eq. 9.
enum class CtmTargetInner {
  kStudent,  // the student itself, without gradient: the authors' default
  kEma,      // its stop-gradient EMA
  kNone,     // nobody: the outer jump starts from u, f_ema(x_u, u, eps)
};

// Who makes the estimate's outer jump to eps.
enum class CtmEstimateOuter {
  kEma,      // the stop-gradient EMA, as in Eq. 9
  kStudent,  // the student: the gradient is of both its jumps
};

// Where the estimate's inner jump ends and its outer jump starts.
enum class CtmEstimateVia {
  kS,  // Eq. 9
  kU,  // where the teacher's steps end and the target's jumps start
};

// kNone, estimate_outer, estimate_via, jump_weight_exponent and dsm_weight are
// options of the authors' code (sony/ctm, karras_diffusion.py: get_ctm_target,
// get_ctm_estimate, get_weightings) that its defaults leave alone; no job sets
// them, they are here for parity.
struct CtmLossOptions {
  math::NoiseSchedule schedule;
  int64_t num_times = 18;  // N, points of the time grid; at least 2

  // k, the teacher's Heun steps, is drawn from 1..max_ode_steps, once per
  // iteration for the whole batch: with probability proportional to k, as in
  // the authors' code, or uniformly. At most N - 1.
  int64_t max_ode_steps = 17;
  bool weight_steps_by_k = true;

  CtmTargetInner target_inner = CtmTargetInner::kStudent;
  CtmEstimateOuter estimate_outer = CtmEstimateOuter::kEma;
  CtmEstimateVia estimate_via = CtmEstimateVia::kS;

  // The consistency loss is weighted by PairWeight(weight, t) times
  // JumpWeight(t, s, jump_weight_exponent); 0: by t alone.
  CmWeight weight = CmWeight::kUniform;
  double jump_weight_exponent = 0;
  CmWeight dsm_weight = CmWeight::kKarras;  // of the denoising loss, by sigma

  // total = consistency_weight L_ctm + denoising_weight w L_dsm. A zero
  // denoising_weight saves the whole of that loss.
  double consistency_weight = 1;
  double denoising_weight = 1;

  // w: the ratio of both losses' gradients at the last layer; false, or a step
  // below adaptive_from_step, means 1.
  bool adaptive_weight = true;
  int64_t adaptive_from_step = 0;

  // Denoising times: every other sample lognormal(p_mean, p_std), the rest
  // t(fraction * U) of the time grid's continuous form (so the noisy end).
  double dsm_p_mean = -1.2;
  double dsm_p_std = 1.2;
  double dsm_grid_fraction = 0.7;

  // InvalidArgument, naming the field and the range.
  absl::Status Validate() const;
};

// Returns (1 - s/t)^-exponent, the weight "uniform_g" of the authors' code,
// which evens out how far the jumps t -> s carry; t > s, all float64 [n].
at::Tensor JumpWeight(const at::Tensor& t, const at::Tensor& s,
                      double exponent);

struct CtmDraws {
  int64_t ode_steps = 1;  // k
  at::Tensor index;       // int64 [n]; t = grid[index], u = grid[index + k]
  at::Tensor index_s;     // int64 [n] in [index + k, N - 1]
  at::Tensor noise;       // [n, c, h, w], unit normal
  at::Tensor dsm_sigma;   // float64 [n]
  at::Tensor dsm_noise;   // [n, c, h, w], unit normal
};

struct CtmLossResult {
  at::Tensor t, u, s;   // float64 [n]
  at::Tensor x_t, x_u;  // x_u: the teacher's Heun^k from x_t
  // By default f_ema(f_theta(x_t, t, s), s, eps) and
  // f_ema(f_sg(x_u, u, s), s, eps).
  at::Tensor estimate, target;
  at::Tensor consistency;      // [n], weighted
  at::Tensor denoising;        // [n], times w; undefined if it has no weight
  double adaptive_weight = 1;  // w
  at::Tensor total;            // a number; gradients are already taken
};

// One part of a batch that is evaluated in several.
struct CtmPart {
  double share = 1;       // of the batch
  double loss_scale = 1;  // a power of two, in effect while gradients are taken
  uint64_t dropout_seed = 0;
  // Called with the estimate before its graph is given up, for further terms
  // (core/train/adversary.h); must leave the graph whole. May be empty.
  std::function<void(const at::Tensor& estimate)> on_estimate;
  // Called right before (`taken` false) and right after the gradients of a loss
  // are taken, with the list of CtmSums that they are added to: for who means
  // them over several ranks meanwhile. May be empty.
  std::function<void(const std::vector<at::Tensor>& sum, bool taken)>
      on_gradients;
};

// Both losses, their gradients still apart: sums over the parts of a batch.
struct CtmSums {
  double consistency = 0, denoising = 0;  // means over the batch
  // Per trainable parameter of the student, without the loss scale; undefined
  // where a loss does not use it. Empty: no denoising.
  std::vector<at::Tensor> consistency_gradient, denoising_gradient;
};

struct CtmTotal {
  double adaptive_weight = 1;  // w
  double total = 0;
  // Of the consistency loss' gradient, as it is in the total.
  double last_layer_norm = 0;
};

// The loss of consistency trajectory models (Kim et al. 2024, Eqs. 9 to 12)
// with a teacher. Because w depends on both losses' gradients, this class
// takes the gradients itself: each loss is run backward once, and the sum is
// formed from the two gradients, so that w costs no further pass.
// Thread-compatible.
class CtmLoss {
 public:
  // `options` must be valid.
  CtmLoss(const CtmLossOptions& options,
          std::shared_ptr<const Distance> distance);

  // See EdmLoss::Draw. k depends on (seed, step) alone.
  CtmDraws Draw(uint64_t seed, int64_t step, absl::Span<const int64_t> samples,
                at::IntArrayRef image_shape) const;

  // Evaluates the loss and puts the gradient of the total into the student's
  // parameters' grad(), replacing what was there. `target` is the stop-gradient
  // EMA; its parameters must not require gradients. `dropout_seed` other than
  // 0 gives student and target the same dropout masks, at the price of the
  // jumps that rows with t = s otherwise save.
  CtmLossResult EvaluateWithGradients(const nn::ConsistencyModel& student,
                                      const nn::ConsistencyModel& target,
                                      nn::EdmDenoiser& teacher,
                                      const LossBatch& batch,
                                      const CtmDraws& draws, int64_t step,
                                      uint64_t dropout_seed = 0) const;

  // The same in two halves, for a batch that is cut into parts to save memory:
  // AddPart() for each part, whose draws must be of one step (so that k is the
  // same), then Combine(), which knows w from the whole batch's gradients.
  CtmLossResult AddPart(const nn::ConsistencyModel& student,
                        const nn::ConsistencyModel& target,
                        nn::EdmDenoiser& teacher, const LossBatch& batch,
                        const CtmDraws& draws, const CtmPart& part,
                        CtmSums* sums) const;
  CtmTotal Combine(const nn::ConsistencyModel& student, int64_t step,
                   const CtmSums& sums) const;

 private:
  at::Tensor DrawDsmSigma(uint64_t seed, int64_t step,
                          absl::Span<const int64_t> samples) const;
  void Consistency(const nn::ConsistencyModel& student,
                   const nn::ConsistencyModel& target, nn::EdmDenoiser& teacher,
                   const LossBatch& batch, const CtmDraws& draws,
                   uint64_t dropout_seed, CtmLossResult* r) const;
  at::Tensor Weight(const at::Tensor& t, const at::Tensor& s) const;
  at::Tensor Denoising(nn::EdmDenoiser& net, const LossBatch& batch,
                       const CtmDraws& draws) const;

  const CtmLossOptions options_;
  const std::shared_ptr<const Distance> distance_;
  const at::Tensor grid_;  // float64 [N]
};

}  // namespace retort::distill

#endif  // RETORT_CORE_DISTILL_CTM_LOSS_H_
