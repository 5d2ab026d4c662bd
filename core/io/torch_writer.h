#ifndef RETORT_CORE_IO_TORCH_WRITER_H_
#define RETORT_CORE_IO_TORCH_WRITER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/io/stored_tensor.h"

namespace retort::io {

// Writes `path`, atomically (core/base/file.h), as torch.save would write a
// dict of these tensors by name since version 1.6: torch.load() reads it, with
// weights_only=True, as does TorchFile. Each tensor gets a storage of its own.
// Same tensors, same bytes.
//
// Errors: those of core/base/file.h; InvalidArgument for a tensor that
// CheckView refuses.
absl::Status WriteTorchFile(const std::string& path,
                            const std::vector<NamedTensor>& tensors);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_TORCH_WRITER_H_
