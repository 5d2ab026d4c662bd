#include "core/nn/weight_init.h"

#include <c10/util/accumulate.h>

#include <cmath>

#include "core/math/counter_random.h"

namespace retort::nn {

using math::RandomStream;

at::Tensor WeightInit::Next(at::IntArrayRef shape, bool normal) {
  const math::Stream stream =
      math::MakeStream(*seed_, RandomStream::kInit, count_++);
  if (normal) return math::NormalPerSample(stream, {0}, shape).squeeze(0);
  const at::Tensor u =
      math::UniformPerSample(stream, {0}, c10::multiply_integers(shape));
  return (u * 2 - 1).to(at::kFloat).reshape(shape);
}

at::Tensor WeightInit::Draw(at::IntArrayRef shape, InitMode mode,
                            int64_t fan_in, int64_t fan_out, double gain) {
  if (!seed_ || gain == 0) {
    ++count_;
    return at::zeros(shape, at::kFloat);
  }
  switch (mode) {
    case InitMode::kXavierUniform:
      return Next(shape, false) * (std::sqrt(6.0 / (fan_in + fan_out)) * gain);
    case InitMode::kKaimingUniform:
      return Next(shape, false) * (std::sqrt(3.0 / fan_in) * gain);
    case InitMode::kKaimingNormal:
      break;
  }
  return Next(shape, true) * (std::sqrt(1.0 / fan_in) * gain);
}

at::Tensor WeightInit::Normal(at::IntArrayRef shape, double std_dev) {
  if (!seed_) return at::zeros(shape, at::kFloat);
  return Next(shape, true) * std_dev;
}

}  // namespace retort::nn
