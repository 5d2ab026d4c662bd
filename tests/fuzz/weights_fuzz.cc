// Feeds bytes to the readers of Python's files (core/io: zip, pickle, tensors,
// EDM's modules) as an import does. Whatever they are, the answer is an error
// or tensors that lie in them: no crash, no read outside, no more memory than
// a small multiple of the file. How to run it is in docs/formats.md.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/io/torch_file.h"
#include "core/io/weights_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using retort::io::TorchFile;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  // A mutation hardly ever has the right checksum.
  const auto file = TorchFile::Parse(bytes, /*check_crc=*/false);
  if (!file.ok()) return 0;
  const auto weights =
      retort::io::FindWeights(file->get(), static_cast<int64_t>(size));
  if (!weights.ok()) return 0;
  for (const retort::io::NamedTensor& named : weights->tensors) {
    const int64_t count =
        named.tensor.Elements() * ElementBytes(named.tensor.dtype);
    if (count > 8 * static_cast<int64_t>(size)) std::abort();
    std::string copy(static_cast<size_t>(count), '\0');
    CopyElements(named.tensor, copy.data());
  }
  return 0;
}
