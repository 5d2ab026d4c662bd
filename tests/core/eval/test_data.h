#ifndef RETORT_TESTS_CORE_EVAL_TEST_DATA_H_
#define RETORT_TESTS_CORE_EVAL_TEST_DATA_H_

#include <ATen/ATen.h>

#include <memory>
#include <utility>

#include "core/base/check.h"
#include "core/data/tensor_dataset.h"
#include "core/math/counter_random.h"

namespace retort::eval {

// Two classes that are easy to tell apart: noise brighter in the upper
// half (0) or in the lower half (1), which mirroring does not change.
inline std::unique_ptr<data::Dataset> HalvesDataset(int64_t n, uint64_t seed) {
  std::vector<int64_t> indices(n);
  std::vector<int64_t> classes(n);
  for (int64_t i = 0; i < n; ++i) {
    indices[i] = i;
    classes[i] = i % 2;
  }
  at::Tensor images = at::floor(
      100 *
      math::UniformPerSample({seed, 15, 0}, indices, 8 * 8).view({n, 1, 8, 8}));
  for (int64_t i = 0; i < n; ++i) {
    images[i].slice(1, classes[i] * 4, classes[i] * 4 + 4) += 100;
  }
  auto dataset = data::TensorDataset::Create("halves", images.to(at::kByte),
                                             at::tensor(classes, at::kLong), 2);
  RETORT_CHECK(dataset.ok());
  return std::move(*dataset);
}

}  // namespace retort::eval

#endif  // RETORT_TESTS_CORE_EVAL_TEST_DATA_H_
