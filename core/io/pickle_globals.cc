#include "core/io/pickle_globals.h"

namespace retort::io {
namespace {

constexpr int64_t Dtype(StoredDtype dtype) {
  return static_cast<int64_t>(dtype);
}

// What torch 1.12 to 2.11 and numpy 1 and 2 write into EDM's pickles and into
// state dicts, and nothing else. Entries describe data; nothing is called.
constexpr AllowedGlobal kAllowed[] = {
    {"torch_utils.persistence", "_reconstruct_persistent_obj",
     PickleGlobal::kPersistentClass},
    {"collections", "OrderedDict", PickleGlobal::kDict},
    {"dnnlib.util", "EasyDict", PickleGlobal::kDict},
    {"__builtin__", "set", PickleGlobal::kSet},
    {"builtins", "set", PickleGlobal::kSet},
    {"_codecs", "encode", PickleGlobal::kEncode},
    {"torch._utils", "_rebuild_tensor", PickleGlobal::kTensor},
    {"torch._utils", "_rebuild_tensor_v2", PickleGlobal::kTensor},
    {"torch._utils", "_rebuild_parameter", PickleGlobal::kParameter},
    {"torch.storage", "_load_from_bytes", PickleGlobal::kStorageBytes},
    {"torch.nn.modules.container", "ModuleDict", PickleGlobal::kModule},
    {"torch.nn.modules.container", "ModuleList", PickleGlobal::kModule},
    {"torch.nn.modules.container", "Sequential", PickleGlobal::kModule},
    {"numpy", "dtype", PickleGlobal::kNumpyDtype},
    {"numpy.core.multiarray", "scalar", PickleGlobal::kNumpyScalar},
    {"numpy._core.multiarray", "scalar", PickleGlobal::kNumpyScalar},
    {"torch", "DoubleStorage", PickleGlobal::kStorageType,
     Dtype(StoredDtype::kFloat64)},
    {"torch", "FloatStorage", PickleGlobal::kStorageType,
     Dtype(StoredDtype::kFloat32)},
    {"torch", "HalfStorage", PickleGlobal::kStorageType,
     Dtype(StoredDtype::kFloat16)},
    {"torch", "BFloat16Storage", PickleGlobal::kStorageType,
     Dtype(StoredDtype::kBFloat16)},
    {"torch", "LongStorage", PickleGlobal::kStorageType,
     Dtype(StoredDtype::kInt64)},
    {"torch", "IntStorage", PickleGlobal::kStorageType,
     Dtype(StoredDtype::kInt32)},
    {"torch", "ShortStorage", PickleGlobal::kStorageType,
     Dtype(StoredDtype::kInt16)},
    {"torch", "CharStorage", PickleGlobal::kStorageType,
     Dtype(StoredDtype::kInt8)},
    {"torch", "ByteStorage", PickleGlobal::kStorageType,
     Dtype(StoredDtype::kUint8)},
    {"torch", "BoolStorage", PickleGlobal::kStorageType,
     Dtype(StoredDtype::kBool)},
    {"torch", "Size", PickleGlobal::kInert},
    {"torch", "device", PickleGlobal::kInert},
    {"torch", "float16", PickleGlobal::kInert},
    {"torch", "bfloat16", PickleGlobal::kInert},
    {"torch", "float32", PickleGlobal::kInert},
    {"torch", "float64", PickleGlobal::kInert},
};

}  // namespace

const AllowedGlobal* FindGlobal(absl::string_view module,
                                absl::string_view name) {
  for (const AllowedGlobal& allowed : kAllowed) {
    if (module == allowed.module && name == allowed.name) return &allowed;
  }
  return nullptr;
}

const char* StorageTypeName(StoredDtype dtype) {
  for (const AllowedGlobal& allowed : kAllowed) {
    if (allowed.global == PickleGlobal::kStorageType &&
        allowed.integer == Dtype(dtype)) {
      return allowed.name;
    }
  }
  return "";
}

}  // namespace retort::io
