#ifndef RETORT_CORE_ANALYTIC_TEACHER_SOURCE_H_
#define RETORT_CORE_ANALYTIC_TEACHER_SOURCE_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/data/dataset.h"
#include "core/nn/denoiser.h"

namespace retort::analytic {

// Clean data and, for a class-conditional teacher, their labels.
struct CleanBatch {
  at::Tensor x0;      // float64 [n, shape...]
  at::Tensor labels;  // float one-hot [n, classes], or undefined
};

// The teacher as the estimators see it: a denoiser and the data that it was
// trained on. A network and a data set (MakeTeacherSource), or closed forms.
// The callbacks are called from one thread.
struct TeacherSource {
  // Returns clean data `positions` of an endless shuffled sequence that
  // `seed` names. Row i depends on (seed, positions[i]) alone.
  std::function<absl::StatusOr<CleanBatch>(uint64_t seed,
                                           absl::Span<const int64_t> positions)>
      clean;

  // Returns D(x, t), shaped as x, differentiable in x if gradients are on;
  // x float64 [n, shape...], t float64 [n], labels as above.
  std::function<at::Tensor(const at::Tensor& x, const at::Tensor& t,
                           const at::Tensor& labels)>
      denoise;

  std::vector<int64_t> shape;  // of one sample
  double sigma_data = 0.5;

  // Rounding of `denoise`, relative: 2^-23 for a float32 network. Tells g
  // from noise where a teacher is nearly linear.
  double relative_rounding = 2.220446049250313e-16;

  // What the artefact's lineage says.
  std::string teacher_hash;
  std::string data_hash;

  int64_t dimension() const;  // d, the product of `shape`
};

// Wraps a network, which must be in evaluation mode (dropout would bias every
// statistic), and a data set; the data set's labels go to a conditional
// network. InvalidArgument when their shapes or class counts differ.
// `dataset` must outlive the result.
absl::StatusOr<TeacherSource> MakeTeacherSource(
    std::shared_ptr<nn::EdmDenoiser> teacher, const data::Dataset& dataset,
    std::string teacher_hash);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_TEACHER_SOURCE_H_
