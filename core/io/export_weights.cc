#include "core/io/export_weights.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/io/stored_tensor.h"
#include "core/io/torch_writer.h"

namespace retort::io {
namespace {

absl::StatusOr<StoredDtype> DtypeOf(const std::string& name,
                                    at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return StoredDtype::kFloat64;
    case at::kFloat:
      return StoredDtype::kFloat32;
    case at::kHalf:
      return StoredDtype::kFloat16;
    case at::kBFloat16:
      return StoredDtype::kBFloat16;
    case at::kLong:
      return StoredDtype::kInt64;
    case at::kInt:
      return StoredDtype::kInt32;
    case at::kShort:
      return StoredDtype::kInt16;
    case at::kChar:
      return StoredDtype::kInt8;
    case at::kByte:
      return StoredDtype::kUint8;
    case at::kBool:
      return StoredDtype::kBool;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", name, "' is of ", c10::toString(type),
                       ", which is not written"));
  }
}

}  // namespace

absl::Status ExportTorchFile(const std::string& path,
                             const TensorMap& tensors) {
  std::vector<at::Tensor> kept;  // what the views below look at
  std::vector<NamedTensor> stored;
  for (const auto& [name, tensor] : tensors) {
    StoredTensor view;
    RETORT_ASSIGN_OR_RETURN(view.dtype, DtypeOf(name, tensor.scalar_type()));
    kept.push_back(tensor.detach().to(at::kCPU).contiguous());
    view.storage = absl::string_view(
        static_cast<const char*>(kept.back().data_ptr()), kept.back().nbytes());
    view.sizes = kept.back().sizes().vec();
    view.strides = kept.back().strides().vec();
    stored.push_back({name, view});
  }
  return WriteTorchFile(path, stored);
}

}  // namespace retort::io
