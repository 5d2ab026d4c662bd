#include "core/train/adversary.h"

#include <torch/autograd.h>

#include "core/train/optimizer.h"

namespace retort::train {

AdversarialStep::AdversarialStep(const distill::GanOptions& options,
                                 const distill::Discriminator* discriminator,
                                 const nn::EdmDenoiser& student, int64_t step,
                                 const Reducers& reducers)
    : options_(options),
      discriminator_(discriminator),
      last_layer_(student.LastLayerWeight()),
      step_(step),
      reducers_(reducers) {
  if (discriminator_ == nullptr) return;
  for (const at::Tensor& p : discriminator_->parameters()) {
    p.mutable_grad() = at::Tensor();
  }
  for (const at::Tensor& p : student.parameters()) {
    if (p.requires_grad()) parameters_.push_back(p);
  }
  gradients_.resize(parameters_.size());
}

bool AdversarialStep::Felt() const {
  return discriminator_ != nullptr && step_ >= options_.start_step;
}

void AdversarialStep::TakeStudentGradients(const at::Tensor& estimate,
                                           const Part& part) {
  if (!Felt()) return;
  const at::Tensor loss =
      -discriminator_->Forward(estimate, part.batch.labels).mean();
  const bool reduce = reducers_.student != nullptr && part.last;
  if (reduce) reducers_.student->Begin(gradients_, 1 / part.loss_scale);
  const std::vector<at::Tensor> gradients = torch::autograd::grad(
      {loss * (part.share * part.loss_scale)}, parameters_, {},
      /*retain_graph=*/true, /*create_graph=*/false, /*allow_unused=*/true);
  if (reduce) {
    reducers_.student->Flush();
    return;  // what was gathered here is in there too
  }
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const at::Tensor g = gradients[i] / part.loss_scale;
    gradients_[i] = gradients_[i].defined() ? gradients_[i].add_(g) : g;
  }
}

void AdversarialStep::TakeOwnGradients(const at::Tensor& estimate,
                                       const Part& part) {
  if (discriminator_ == nullptr) return;
  const distill::DiscriminatorLoss loss =
      EvaluateDiscriminator(options_, *discriminator_, part.batch.images,
                            estimate, part.batch.labels);
  const bool reduce = reducers_.own != nullptr && part.last;
  if (reduce) reducers_.own->Begin(Gradients(reducers_.own->parameters()));
  (loss.total * part.share).backward();
  if (reduce) reducers_.own->Flush();
  own_loss_ += part.share * loss.total.item<double>();
  student_loss_ -= part.share * loss.fake.mean().item<double>();
  if (loss.r1.defined()) r1_ += part.share * loss.r1.item<double>();
}

void AdversarialStep::FinishReduction() {
  if (reducers_.student != nullptr && Felt()) {
    gradients_ = reducers_.student->Finish();
  }
  if (reducers_.own != nullptr) {
    SetGradients(reducers_.own->parameters(), reducers_.own->Finish());
  }
}

double AdversarialStep::Combine(double last_layer_norm,
                                std::map<std::string, double>* metrics) {
  if (discriminator_ == nullptr) return 0;
  FinishReduction();
  double weight = 0;
  if (Felt()) {
    double norm = 0;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (parameters_[i].is_same(last_layer_) && gradients_[i].defined()) {
        norm = gradients_[i].to(at::kDouble).norm().item<double>();
      }
    }
    weight =
        options_.weight * distill::AdaptiveGanWeight(last_layer_norm, norm);
    torch::NoGradGuard no_grad;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (!gradients_[i].defined()) continue;
      at::Tensor& grad = parameters_[i].mutable_grad();
      const at::Tensor term = gradients_[i] * weight;
      grad = grad.defined() ? grad + term : term;
    }
  }
  (*metrics)["loss_gan"] = student_loss_;
  (*metrics)["loss_discriminator"] = own_loss_;
  (*metrics)["gan_weight"] = weight;
  if (options_.r1_weight > 0) (*metrics)["r1"] = r1_;
  return weight * student_loss_;
}

}  // namespace retort::train
