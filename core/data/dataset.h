#ifndef RETORT_CORE_DATA_DATASET_H_
#define RETORT_CORE_DATA_DATASET_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace retort::data {

// Labelled square images by index. The order in which training visits them
// is not kept here: it is a pure function of seed and position
// (data_order.h). Implementations are immutable and thread-safe.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual std::string name() const = 0;
  virtual int64_t size() const = 0;        // images, at least 1
  virtual int64_t channels() const = 0;    // 1 or 3
  virtual int64_t resolution() const = 0;  // height = width
  virtual int64_t label_dim() const = 0;   // classes; 0 = no labels

  // Fills *images with uint8 [n,C,H,W] and *labels with int64 [n] in
  // [0, label_dim), in the order of `indices`, which may repeat. Both are new
  // tensors on the CPU. Labels are all 0 when label_dim() is 0. OutOfRange
  // for an index outside [0, size()).
  virtual absl::Status Get(absl::Span<const int64_t> indices,
                           at::Tensor* images, at::Tensor* labels) const = 0;

  // Returns the SHA-256 that names the data; goes into every lineage.
  virtual std::string manifest_hash() const = 0;
};

// Returns uint8 images as float32 in [-1, 1]: x / 127.5 - 1.
at::Tensor ToFloat(const at::Tensor& images);

}  // namespace retort::data

#endif  // RETORT_CORE_DATA_DATASET_H_
