#ifndef RETORT_CORE_IO_EXPORT_WEIGHTS_H_
#define RETORT_CORE_IO_EXPORT_WEIGHTS_H_

#include <string>

#include "absl/status/status.h"
#include "core/io/safetensors.h"

namespace retort::io {

// Writes the tensors as torch.save writes a state dict (torch_writer.h).
// Errors: those of WriteTorchFile; InvalidArgument for a tensor of a type that
// safetensors_dtype.h does not have.
absl::Status ExportTorchFile(const std::string& path, const TensorMap& tensors);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_EXPORT_WEIGHTS_H_
