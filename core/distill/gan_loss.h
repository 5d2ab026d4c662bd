#ifndef RETORT_CORE_DISTILL_GAN_LOSS_H_
#define RETORT_CORE_DISTILL_GAN_LOSS_H_

#include <ATen/ATen.h>

#include <cstdint>

#include "absl/status/status.h"
#include "core/distill/discriminator.h"

// The adversarial term of a student's loss (Kim et al. 2024, Eq. 13, with the
// hinge losses of Lim and Ye 2017, arXiv 1705.02894, as its authors use them),
//   L_D = E max(0, 1 - D(x0)) + E max(0, 1 + D(x_est)) + r1/2 E|grad D(x0)|^2,
//   L_G = -E D(x_est),
// where x_est is the student's estimate that its distance is taken of: what its
// jump becomes at sigma_min. The student minimises
//   L + weight lambda L_G, lambda = |grad L| / (|grad L_G| + 1e-4)
// with the gradients of its last layer (CTM section 3.3, after VQGAN).
namespace retort::distill {

struct GanOptions {
  double weight =
      0;  // of the student's part, times lambda; 0: no discriminator
  double r1_weight = 0.1;       // of R1; 0: none
  int64_t start_step = 0;       // steps before the student feels it
  int64_t channels = 32;        // of the discriminator's first layer
  double learning_rate = 2e-4;  // of the discriminator

  // InvalidArgument, naming the field and the range.
  absl::Status Validate() const;
};

struct DiscriminatorLoss {
  at::Tensor hinge;  // a number
  at::Tensor r1;     // E|grad D(x0)|^2, a number; undefined without weight
  at::Tensor total;  // hinge + r1_weight / 2 r1
  at::Tensor fake;   // D(x_est), [n], no gradient
};

// Returns E max(0, 1 - real) + E max(0, 1 + fake), a number.
at::Tensor HingeLoss(const at::Tensor& real, const at::Tensor& fake);

// Returns E|grad_x D(x, y)|^2, differentiable in D's weights (Mescheder et al.
// 2018, arXiv 1801.04406, Eq. 9, without its factor).
at::Tensor R1Penalty(const Discriminator& d, const at::Tensor& images,
                     const at::Tensor& labels);

// The discriminator's loss, differentiable in its weights alone.
DiscriminatorLoss EvaluateDiscriminator(const GanOptions& options,
                                        const Discriminator& d,
                                        const at::Tensor& real,
                                        const at::Tensor& fake,
                                        const at::Tensor& labels);

// Returns lambda from both gradients' norms, in [0, 1e4]; 1 where there is no
// ratio (gradients that overflowed in float16).
double AdaptiveGanWeight(double student_norm, double adversarial_norm);

}  // namespace retort::distill

#endif  // RETORT_CORE_DISTILL_GAN_LOSS_H_
