#ifndef RETORT_CORE_TRAIN_ADVERSARY_H_
#define RETORT_CORE_TRAIN_ADVERSARY_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/comm/gradient_reducer.h"
#include "core/distill/discriminator.h"
#include "core/distill/edm_loss.h"
#include "core/distill/gan_loss.h"
#include "core/nn/denoiser.h"

namespace retort::train {

// One step of the adversarial term (core/distill/gan_loss.h): gathers its
// gradients over the parts of a batch, the student's apart from those of its
// other losses, so that lambda is of the whole batch.
//
//   AdversarialStep adversary(options, discriminator, student, step);
//   for each part:
//     adversary.TakeStudentGradients(estimate, part)  // its graph still whole
//     ... backward through the other losses ...
//     adversary.TakeOwnGradients(estimate, part)
//   loss += adversary.Combine(norm, &metrics);
//
// The discriminator's gradients are left in its parameters' grad(), replacing
// what was there; the optimiser's step is the caller's. Without a discriminator
// nothing is done. Everything is a function of what it is given: there are no
// draws. Thread-compatible; lives for a step.
class AdversarialStep {
 public:
  struct Part {
    const distill::LossBatch& batch;  // of the part
    double share = 1;                 // of the batch
    double loss_scale = 1;            // while student gradients are taken
    bool last = true;                 // of the batch's parts
  };

  // Of a run of several ranks: means both kinds of gradients over them before
  // Combine() looks at them. Null: one rank.
  struct Reducers {
    comm::GradientReducer* student = nullptr;
    comm::GradientReducer* own = nullptr;
  };

  // `discriminator` may be null; it, `student` and the reducers outlive this.
  AdversarialStep(const distill::GanOptions& options,
                  const distill::Discriminator* discriminator,
                  const nn::EdmDenoiser& student, int64_t step,
                  const Reducers& reducers);

  // Takes the student's gradient of -E D(estimate) and leaves the graph as it
  // is. Nothing before start_step.
  void TakeStudentGradients(const at::Tensor& estimate, const Part& part);

  // Adds the discriminator's gradients, with the part's images as real ones.
  void TakeOwnGradients(const at::Tensor& estimate, const Part& part);

  // Adds weight lambda times the student's gradients to its parameters' grad(),
  // which holds the other losses', unscaled. `last_layer_norm` is that of the
  // distillation loss' gradient. Returns what the loss grows by; sets loss_gan,
  // loss_discriminator, gan_weight (weight lambda; 0 before start_step) and r1.
  double Combine(double last_layer_norm,
                 std::map<std::string, double>* metrics);

 private:
  bool Felt() const;
  void FinishReduction();

  const distill::GanOptions options_;
  const distill::Discriminator* const discriminator_;
  const at::Tensor last_layer_;  // the student's
  const int64_t step_;
  const Reducers reducers_;
  std::vector<at::Tensor> parameters_;  // the student's that are trained
  std::vector<at::Tensor> gradients_;   // of the mean of -D; may be undefined
  // Means over the batch.
  double student_loss_ = 0, own_loss_ = 0, r1_ = 0;
};

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_ADVERSARY_H_
