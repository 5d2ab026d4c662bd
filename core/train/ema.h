#ifndef RETORT_CORE_TRAIN_EMA_H_
#define RETORT_CORE_TRAIN_EMA_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <vector>

namespace retort::train {

// An exponential moving average of a list of parameters, updated in one
// operator call. Starts as a copy of the parameters. Thread-compatible.
class Ema {
 public:
  explicit Ema(const std::vector<at::Tensor>& parameters);

  // Averages into `values` themselves (a stop-gradient network's parameters)
  // instead of a copy.
  static Ema Over(std::vector<at::Tensor> values);

  // ema = rate * ema + (1 - rate) * parameters. `parameters` as at the start.
  void Update(const std::vector<at::Tensor>& parameters, double rate);

  const std::vector<at::Tensor>& values() const { return values_; }

 private:
  Ema() = default;

  std::vector<at::Tensor> values_;
};

// Returns EDM's rate for one step (Karras et al. 2022, Appendix F.2, as in
// their training loop): 0.5^(batch / h), where the half-life h, in images, is
// at most `rampup_ratio` times the images seen before this step (no such limit
// if the ratio is 0).
double HalflifeRate(int64_t batch, double halflife_images, double rampup_ratio,
                    int64_t images_before);

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_EMA_H_
