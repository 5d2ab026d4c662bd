#include "core/io/import_weights.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/io/mapped_file.h"
#include "core/io/torch_file.h"
#include "core/io/weights_file.h"

namespace retort::io {
namespace {

at::ScalarType TorchDtype(StoredDtype dtype) {
  switch (dtype) {
    case StoredDtype::kFloat64:
      return at::kDouble;
    case StoredDtype::kFloat32:
      return at::kFloat;
    case StoredDtype::kFloat16:
      return at::kHalf;
    case StoredDtype::kBFloat16:
      return at::kBFloat16;
    case StoredDtype::kInt64:
      return at::kLong;
    case StoredDtype::kInt32:
      return at::kInt;
    case StoredDtype::kInt16:
      return at::kShort;
    case StoredDtype::kInt8:
      return at::kChar;
    case StoredDtype::kUint8:
      return at::kByte;
    case StoredDtype::kBool:
      return at::kBool;
  }
  return at::kFloat;
}

absl::StatusOr<ImportedWeights> Import(absl::string_view bytes) {
  RETORT_ASSIGN_OR_RETURN(const std::unique_ptr<TorchFile> file,
                          TorchFile::Parse(bytes));
  RETORT_ASSIGN_OR_RETURN(
      StoredWeights stored,
      FindWeights(file.get(), static_cast<int64_t>(bytes.size())));
  ImportedWeights imported;
  imported.network = std::move(stored.network);
  imported.form = FormName(stored.form);
  for (const NamedTensor& named : stored.tensors) {
    at::Tensor tensor = ToTorch(named.tensor);
    if (tensor.is_floating_point()) tensor = tensor.to(at::kFloat);
    imported.tensors[named.name] = std::move(tensor);
  }
  return imported;
}

}  // namespace

at::Tensor ToTorch(const StoredTensor& stored) {
  at::Tensor tensor =
      at::empty(stored.sizes, at::TensorOptions(TorchDtype(stored.dtype)));
  auto* to = static_cast<char*>(tensor.data_ptr());
  CopyElements(stored, to);
  if (stored.dtype == StoredDtype::kBool) {
    // Any other value than 0 and 1 is undefined behaviour to read as a bool.
    std::transform(to, to + tensor.numel(), to,
                   [](char c) { return static_cast<char>(c != 0); });
  }
  return tensor;
}

absl::StatusOr<ImportedWeights> ImportWeights(const std::string& path) {
  RETORT_ASSIGN_OR_RETURN(const std::unique_ptr<MappedFile> file,
                          MappedFile::Open(path));
  auto imported = Import(file->bytes());
  if (!imported.ok()) {
    return absl::Status(imported.status().code(),
                        absl::StrCat(path, ": ", imported.status().message()));
  }
  return imported;
}

}  // namespace retort::io
