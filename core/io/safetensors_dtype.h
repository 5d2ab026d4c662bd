#ifndef RETORT_CORE_IO_SAFETENSORS_DTYPE_H_
#define RETORT_CORE_IO_SAFETENSORS_DTYPE_H_

#include <c10/core/ScalarType.h>

#include <string>

#include "absl/strings/string_view.h"

namespace retort::io {

// One of the format's dtypes that this project reads and writes.
struct SafetensorsDtype {
  const char* name;  // as in the header: "F32"
  at::ScalarType type;
  int rank;  // data of higher rank lies first in a file
};

// Return the dtype for a name or a tensor type; nullptr if there is none.
const SafetensorsDtype* FindDtype(absl::string_view name);
const SafetensorsDtype* FindDtype(at::ScalarType type);

// Returns "F64 F32 ..." for messages.
std::string SupportedDtypes();

}  // namespace retort::io

#endif  // RETORT_CORE_IO_SAFETENSORS_DTYPE_H_
