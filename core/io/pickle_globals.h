#ifndef RETORT_CORE_IO_PICKLE_GLOBALS_H_
#define RETORT_CORE_IO_PICKLE_GLOBALS_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "core/io/pickle_value.h"
#include "core/io/stored_tensor.h"

namespace retort::io {

// A name that a pickle may mention.
struct AllowedGlobal {
  const char* module;
  const char* name;
  PickleGlobal global;
  int64_t integer = 0;  // PickleValue::integer
};

// Returns the entry of the allow-list, or nullptr: the file is to be refused.
const AllowedGlobal* FindGlobal(absl::string_view module,
                                absl::string_view name);

// "FloatStorage", ...: the name in module "torch" for storages of a type.
const char* StorageTypeName(StoredDtype dtype);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_PICKLE_GLOBALS_H_
