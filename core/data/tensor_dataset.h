#ifndef RETORT_CORE_DATA_TENSOR_DATASET_H_
#define RETORT_CORE_DATA_TENSOR_DATASET_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/data/dataset.h"

namespace retort::data {

// A data set held in memory. What small data sets load into, and what tests
// make up.
class TensorDataset : public Dataset {
 public:
  // `images` is uint8 [N,C,H,H], N >= 1; `labels` int64 [N] within
  // [0, label_dim), or undefined when `label_dim` is 0. An empty
  // `manifest_hash` is replaced by the SHA-256 over the tensors' bytes.
  // InvalidArgument when something does not fit.
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(
      std::string name, at::Tensor images, at::Tensor labels, int64_t label_dim,
      std::string manifest_hash = "");

  std::string name() const override { return name_; }
  int64_t size() const override { return images_.size(0); }
  int64_t channels() const override { return images_.size(1); }
  int64_t resolution() const override { return images_.size(2); }
  int64_t label_dim() const override { return label_dim_; }
  absl::Status Get(absl::Span<const int64_t> indices, at::Tensor* images,
                   at::Tensor* labels) const override;
  std::string manifest_hash() const override { return manifest_hash_; }

 private:
  TensorDataset(std::string name, at::Tensor images, at::Tensor labels,
                int64_t label_dim, std::string manifest_hash);

  const std::string name_;
  const at::Tensor images_;
  const at::Tensor labels_;
  const int64_t label_dim_;
  const std::string manifest_hash_;
};

}  // namespace retort::data

#endif  // RETORT_CORE_DATA_TENSOR_DATASET_H_
