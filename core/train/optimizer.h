#ifndef RETORT_CORE_TRAIN_OPTIMIZER_H_
#define RETORT_CORE_TRAIN_OPTIMIZER_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace retort::train {

struct OptimizerOptions {
  std::string name = "adam";  // "adam" (EDM) or "radam" (CM, CTM)
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;  // L2, added to the gradient; 0 = none

  // InvalidArgument, naming the field and its range.
  absl::Status Validate() const;
};

// Steps a fixed list of parameters by their grad(), all of them in a few
// operator calls. A parameter whose grad() is undefined is left alone in that
// step, moments included. The state is one pair of moments per parameter and
// one step count. Thread-compatible.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // Takes one step with this learning rate. Gradients are not cleared.
  void Step(double learning_rate);

  // First and second moments, in the order of the parameters. A checkpoint
  // stores them and writes them back in place.
  const std::vector<at::Tensor>& exp_avg() const { return exp_avg_; }
  const std::vector<at::Tensor>& exp_avg_sq() const { return exp_avg_sq_; }

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

 protected:
  Optimizer(std::vector<at::Tensor> parameters,
            const OptimizerOptions& options);

  // The parameters that have gradients in this step, and what belongs to them.
  struct Lists {
    std::vector<at::Tensor> p, g, m, v;
  };

  // k is the number of this step, 1 for the first.
  virtual void Update(Lists& lists, double learning_rate, int64_t k) = 0;

  const OptimizerOptions options_;

 private:
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> exp_avg_;
  std::vector<at::Tensor> exp_avg_sq_;
  int64_t steps_ = 0;
};

// Returns the optimiser that `options` name, over `parameters`, which it
// shares. InvalidArgument from options.Validate().
absl::StatusOr<std::unique_ptr<Optimizer>> MakeOptimizer(
    std::vector<at::Tensor> parameters, const OptimizerOptions& options);

// Replaces NaN by 0 and +-infinity by +-1e5 in every gradient, in place, as
// EDM's training loop does.
void ReplaceNonFiniteGradients(const std::vector<at::Tensor>& parameters);

// Returns the Euclidean norm over all gradients, in float64: NaN or infinite if
// any gradient is.
double GradientNorm(const std::vector<at::Tensor>& parameters);

// The parameters' grad(), undefined where there is none; and the reverse.
std::vector<at::Tensor> Gradients(const std::vector<at::Tensor>& parameters);
void SetGradients(const std::vector<at::Tensor>& parameters,
                  const std::vector<at::Tensor>& gradients);

// Multiplies every gradient by `factor`, in place.
void ScaleGradients(const std::vector<at::Tensor>& parameters, double factor);

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_OPTIMIZER_H_
