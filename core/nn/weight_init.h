#ifndef RETORT_CORE_NN_WEIGHT_INIT_H_
#define RETORT_CORE_NN_WEIGHT_INIT_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>

namespace retort::nn {

// The distributions EDM's layers start from, with fan_in and fan_out counting
// a convolution's kernel positions. Standard deviations:
//   kXavier*: sqrt(2 / (fan_in + fan_out)),  kKaiming*: sqrt(1 / fan_in).
enum class InitMode { kXavierUniform, kKaimingUniform, kKaimingNormal };

// How a layer's weight and bias start: that distribution times a gain; gain 0
// is zeros.
struct LayerInit {
  InitMode mode = InitMode::kKaimingNormal;
  double weight_gain = 1;
  double bias_gain = 0;
};

// Hands out initial values. The k-th tensor asked for is a pure function of
// (seed, k). Without a seed everything is zero, for networks whose weights are
// about to be loaded. Not thread-safe.
class WeightInit {
 public:
  explicit WeightInit(std::optional<uint64_t> seed) : seed_(seed) {}

  at::Tensor Draw(at::IntArrayRef shape, InitMode mode, int64_t fan_in,
                  int64_t fan_out, double gain);
  at::Tensor Normal(at::IntArrayRef shape, double std_dev);

 private:
  // Standard normals, or uniforms in [-1, 1).
  at::Tensor Next(at::IntArrayRef shape, bool normal);

  const std::optional<uint64_t> seed_;
  uint64_t count_ = 0;
};

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_WEIGHT_INIT_H_
