#include "core/io/safetensors_dtype.h"

#include "absl/strings/str_join.h"

namespace retort::io {
namespace {

// The order of the Python package's own dtype list, which it sorts by.
constexpr SafetensorsDtype kDtypes[] = {
    {"I64", at::kLong, 9},  {"F64", at::kDouble, 8},    {"F32", at::kFloat, 7},
    {"I32", at::kInt, 6},   {"BF16", at::kBFloat16, 5}, {"F16", at::kHalf, 4},
    {"I16", at::kShort, 3}, {"I8", at::kChar, 2},       {"U8", at::kByte, 1},
    {"BOOL", at::kBool, 0},
};

}  // namespace

const SafetensorsDtype* FindDtype(absl::string_view name) {
  for (const SafetensorsDtype& dtype : kDtypes) {
    if (name == dtype.name) return &dtype;
  }
  return nullptr;
}

const SafetensorsDtype* FindDtype(at::ScalarType type) {
  for (const SafetensorsDtype& dtype : kDtypes) {
    if (type == dtype.type) return &dtype;
  }
  return nullptr;
}

std::string SupportedDtypes() {
  return absl::StrJoin(kDtypes, " ",
                       [](std::string* out, const SafetensorsDtype& dtype) {
                         out->append(dtype.name);
                       });
}

}  // namespace retort::io
