#include "core/data/tensor_dataset.h"

#include <cstring>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/sha256.h"

namespace retort::data {
namespace {

std::string Describe(const at::Tensor& tensor) {
  if (!tensor.defined()) return "undefined";
  return absl::StrCat(c10::toString(tensor.scalar_type()), " [",
                      absl::StrJoin(tensor.sizes(), ","), "]");
}

absl::Status CheckImages(const at::Tensor& images) {
  if (!images.defined() || images.scalar_type() != at::kByte ||
      images.dim() != 4 || images.numel() == 0 ||
      images.size(2) != images.size(3)) {
    return absl::InvalidArgumentError(
        absl::StrCat("images must be uint8 [N,C,H,H] and not empty, not ",
                     Describe(images)));
  }
  return absl::OkStatus();
}

absl::Status CheckLabels(const at::Tensor& labels, int64_t count,
                         int64_t label_dim) {
  if (label_dim < 0 || (label_dim == 0 && labels.defined())) {
    return absl::InvalidArgumentError(
        absl::StrCat("labels given for label_dim ", label_dim));
  }
  if (label_dim == 0) return absl::OkStatus();
  if (!labels.defined() || labels.scalar_type() != at::kLong ||
      labels.dim() != 1 || labels.size(0) != count) {
    return absl::InvalidArgumentError(absl::StrCat(
        "labels must be int64 [", count, "], not ", Describe(labels)));
  }
  const int64_t least = labels.min().item<int64_t>();
  const int64_t most = labels.max().item<int64_t>();
  if (least < 0 || most >= label_dim) {
    return absl::InvalidArgumentError(absl::StrCat(
        "label ", least < 0 ? least : most, " is not in [0, ", label_dim, ")"));
  }
  return absl::OkStatus();
}

absl::string_view Bytes(const at::Tensor& tensor) {
  return absl::string_view(static_cast<const char*>(tensor.data_ptr()),
                           tensor.nbytes());
}

std::string HashTensors(const at::Tensor& images, const at::Tensor& labels) {
  base::Sha256 hash;
  hash.Update(Bytes(images));
  hash.Update(Bytes(labels));
  return hash.HexDigest();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> TensorDataset::Create(
    std::string name, at::Tensor images, at::Tensor labels, int64_t label_dim,
    std::string manifest_hash) {
  if (absl::Status status = CheckImages(images); !status.ok()) return status;
  const int64_t count = images.size(0);
  if (absl::Status status = CheckLabels(labels, count, label_dim);
      !status.ok()) {
    return status;
  }
  images = images.to(at::kCPU).contiguous();
  labels = label_dim == 0 ? at::zeros({count}, at::kLong)
                          : labels.to(at::kCPU).contiguous();
  if (manifest_hash.empty()) manifest_hash = HashTensors(images, labels);
  return absl::WrapUnique<Dataset>(
      new TensorDataset(std::move(name), std::move(images), std::move(labels),
                        label_dim, std::move(manifest_hash)));
}

TensorDataset::TensorDataset(std::string name, at::Tensor images,
                             at::Tensor labels, int64_t label_dim,
                             std::string manifest_hash)
    : name_(std::move(name)),
      images_(std::move(images)),
      labels_(std::move(labels)),
      label_dim_(label_dim),
      manifest_hash_(std::move(manifest_hash)) {}

absl::Status TensorDataset::Get(absl::Span<const int64_t> indices,
                                at::Tensor* images, at::Tensor* labels) const {
  for (const int64_t index : indices) {
    if (index < 0 || index >= size()) {
      return absl::OutOfRangeError(absl::StrCat(
          "index ", index, " is not in [0, ", size(), ") of data set ", name_));
    }
  }
  const int64_t n = indices.size();
  const int64_t image_bytes = channels() * resolution() * resolution();
  *images = at::empty({n, channels(), resolution(), resolution()}, at::kByte);
  *labels = at::empty({n}, at::kLong);
  const uint8_t* const from = images_.data_ptr<uint8_t>();
  uint8_t* const to = images->data_ptr<uint8_t>();
  for (int64_t i = 0; i < n; ++i) {
    std::memcpy(to + i * image_bytes, from + indices[i] * image_bytes,
                image_bytes);
    labels->data_ptr<int64_t>()[i] = labels_.data_ptr<int64_t>()[indices[i]];
  }
  return absl::OkStatus();
}

}  // namespace retort::data
