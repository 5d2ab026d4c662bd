#include "core/data/dataset.h"

namespace retort::data {

at::Tensor ToFloat(const at::Tensor& images) {
  return images.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true)
      .div_(127.5)
      .sub_(1.0);
}

}  // namespace retort::data
