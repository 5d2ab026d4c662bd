#include "core/train/optimizer.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace retort::train {
namespace {

// Kingma & Ba 2015, by the fused operator.
class Adam : public Optimizer {
 public:
  Adam(std::vector<at::Tensor> parameters, const OptimizerOptions& options)
      : Optimizer(std::move(parameters), options) {}

 private:
  void Update(Lists& lists, double learning_rate, int64_t k) override {
    // The operator wants the step per parameter; they share one number.
    const std::vector<at::Tensor> steps(
        lists.p.size(), at::full({}, static_cast<double>(k),
                                 lists.p.front().options().dtype(at::kFloat)));
    at::_fused_adam_(lists.p, lists.g, lists.m, lists.v,
                     /*max_exp_avg_sqs=*/{}, steps, learning_rate,
                     options_.beta1, options_.beta2, options_.weight_decay,
                     options_.eps, /*amsgrad=*/false, /*maximize=*/false);
  }
};

// Liu et al. 2020, Algorithm 2, with the constants of PyTorch's RAdam.
class RAdam : public Optimizer {
 public:
  RAdam(std::vector<at::Tensor> parameters, const OptimizerOptions& options)
      : Optimizer(std::move(parameters), options) {}

 private:
  void Update(Lists& lists, double learning_rate, int64_t k) override {
    const double b1 = options_.beta1, b2 = options_.beta2;
    std::vector<at::Tensor> g = lists.g;
    if (options_.weight_decay != 0) {
      g = at::_foreach_add(lists.g, lists.p, options_.weight_decay);
    }
    at::_foreach_lerp_(lists.m, g, 1 - b1);
    at::_foreach_mul_(lists.v, b2);
    at::_foreach_addcmul_(lists.v, g, g, 1 - b2);
    const double power = std::pow(b2, k);
    const double bias1 = 1 - std::pow(b1, k), bias2 = 1 - power;
    const double rho_inf = 2 / (1 - b2) - 1;
    const double rho = rho_inf - 2 * k * power / bias2;
    if (rho <= 5) {
      // The variance of the second moment is not tractable yet.
      at::_foreach_add_(lists.p, lists.m, -learning_rate / bias1);
      return;
    }
    const double r = std::sqrt((rho - 4) * (rho - 2) * rho_inf /
                               ((rho_inf - 4) * (rho_inf - 2) * rho));
    std::vector<at::Tensor> denominator = at::_foreach_sqrt(lists.v);
    at::_foreach_add_(denominator, options_.eps);
    at::_foreach_addcdiv_(lists.p, lists.m, denominator,
                          -learning_rate * r * std::sqrt(bias2) / bias1);
  }
};

absl::Status OutOfRange(absl::string_view field, double value,
                        absl::string_view range) {
  return absl::InvalidArgumentError(
      absl::StrCat("optimizer ", field, " is ", value, "; it must be ", range));
}

std::vector<at::Tensor> DefinedGradients(
    const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters.size());
  for (const at::Tensor& p : parameters) {
    if (p.grad().defined()) gradients.push_back(p.grad());
  }
  return gradients;
}

}  // namespace

absl::Status OptimizerOptions::Validate() const {
  if (name != "adam" && name != "radam") {
    return absl::InvalidArgumentError(
        absl::StrCat("optimizer \"", name, "\" is unknown; use adam or radam"));
  }
  if (!(beta1 >= 0 && beta1 < 1))
    return OutOfRange("beta1", beta1, "in [0, 1)");
  if (!(beta2 > 0 && beta2 < 1)) return OutOfRange("beta2", beta2, "in (0, 1)");
  if (!(eps > 0)) return OutOfRange("eps", eps, "positive");
  if (!(weight_decay >= 0)) {
    return OutOfRange("weight_decay", weight_decay, "0 (none) or positive");
  }
  return absl::OkStatus();
}

Optimizer::Optimizer(std::vector<at::Tensor> parameters,
                     const OptimizerOptions& options)
    : options_(options), parameters_(std::move(parameters)) {
  torch::NoGradGuard no_grad;
  for (const at::Tensor& p : parameters_) {
    exp_avg_.push_back(at::zeros_like(p));
    exp_avg_sq_.push_back(at::zeros_like(p));
  }
}

void Optimizer::Step(double learning_rate) {
  torch::NoGradGuard no_grad;
  ++steps_;
  Lists lists;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].grad().defined()) continue;
    // The fused operators walk all lists in memory order.
    at::Tensor g = parameters_[i].grad();
    if (g.strides() != parameters_[i].strides()) {
      g = at::empty_like(parameters_[i]).copy_(g);
    }
    lists.p.push_back(parameters_[i]);
    lists.g.push_back(g);
    lists.m.push_back(exp_avg_[i]);
    lists.v.push_back(exp_avg_sq_[i]);
  }
  if (!lists.p.empty()) Update(lists, learning_rate, steps_);
}

absl::StatusOr<std::unique_ptr<Optimizer>> MakeOptimizer(
    std::vector<at::Tensor> parameters, const OptimizerOptions& options) {
  const absl::Status valid = options.Validate();
  if (!valid.ok()) return valid;
  std::unique_ptr<Optimizer> made;
  if (options.name == "adam") {
    made = std::make_unique<Adam>(std::move(parameters), options);
  } else {
    made = std::make_unique<RAdam>(std::move(parameters), options);
  }
  return made;
}

void ReplaceNonFiniteGradients(const std::vector<at::Tensor>& parameters) {
  torch::NoGradGuard no_grad;
  for (at::Tensor& g : DefinedGradients(parameters)) {
    at::nan_to_num_(g, /*nan=*/0.0, /*posinf=*/1e5, /*neginf=*/-1e5);
  }
}

double GradientNorm(const std::vector<at::Tensor>& parameters) {
  torch::NoGradGuard no_grad;
  const std::vector<at::Tensor> gradients = DefinedGradients(parameters);
  if (gradients.empty()) return 0;
  return at::stack(at::_foreach_norm(gradients))
      .to(at::kDouble)
      .norm()
      .item<double>();
}

std::vector<at::Tensor> Gradients(const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& p : parameters) gradients.push_back(p.grad());
  return gradients;
}

void SetGradients(const std::vector<at::Tensor>& parameters,
                  const std::vector<at::Tensor>& gradients) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].mutable_grad() = gradients[i];
  }
}

void ScaleGradients(const std::vector<at::Tensor>& parameters, double factor) {
  torch::NoGradGuard no_grad;
  const std::vector<at::Tensor> gradients = DefinedGradients(parameters);
  if (!gradients.empty()) at::_foreach_mul_(gradients, factor);
}

}  // namespace retort::train
