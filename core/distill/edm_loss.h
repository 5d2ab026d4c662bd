#ifndef RETORT_CORE_DISTILL_EDM_LOSS_H_
#define RETORT_CORE_DISTILL_EDM_LOSS_H_

#include <torch/nn/module.h>

#include <cstdint>

#include "absl/types/span.h"
#include "core/nn/denoiser.h"

namespace retort::distill {

// Clean images and what they are conditioned on, as a loss sees them.
struct LossBatch {
  at::Tensor images;   // [n, c, h, w] in [-1, 1], the network's dtype
  at::Tensor labels;   // one-hot [n, label_dim], or undefined
  at::Tensor augment;  // [n, augment_dim], or undefined
};

struct EdmLossOptions {
  double p_mean = -1.2;  // of ln(sigma)
  double p_std = 1.2;
  double sigma_data = 0.5;
};

// What is random in one evaluation.
struct EdmDraws {
  at::Tensor normal;  // u, [n]: ln(sigma) = p_mean + p_std u
  at::Tensor noise;   // [n, c, h, w], unit normal
};

struct EdmLossResult {
  at::Tensor sigma;        // [n], float64
  at::Tensor per_element;  // [n, c, h, w], weighted
  at::Tensor total;        // sum over an image, mean over the batch
};

// Denoising score matching with EDM's weights (Karras et al. 2022, Table 1 and
// Eq. 2). A pure function of the network, the batch and the draws; the caller
// runs backward() on `total`. Thread-compatible.
class EdmLoss {
 public:
  explicit EdmLoss(const EdmLossOptions& options) : options_(options) {}

  // Draws for the samples whose indices within the step's global batch are
  // `samples`: row i depends on (seed, step, samples[i]) alone, so that the
  // split of a batch over ranks changes nothing.
  static EdmDraws Draw(uint64_t seed, int64_t step,
                       absl::Span<const int64_t> samples,
                       at::IntArrayRef image_shape);

  EdmLossResult Evaluate(nn::EdmDenoiser& net, const LossBatch& batch,
                         const EdmDraws& draws) const;

 private:
  const EdmLossOptions options_;
};

// Returns (sigma^2 + sd^2) / (sigma sd)^2, EDM's weight, for float64 [n].
at::Tensor EdmWeight(const at::Tensor& sigma, double sigma_data);

}  // namespace retort::distill

#endif  // RETORT_CORE_DISTILL_EDM_LOSS_H_
