#ifndef RETORT_CORE_IO_BYTES_H_
#define RETORT_CORE_IO_BYTES_H_

#include <zlib.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

// Numbers of binary files: what zip files, pickles and their readers share.
namespace retort::io {

// The little-endian number that `bytes`, at most 8, are.
inline uint64_t LittleEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

// Appends the lowest `count` bytes of `value`, the lowest first.
inline void AppendLittleEndian(uint64_t value, int count, std::string* to) {
  for (int i = 0; i < count; ++i) {
    to->push_back(static_cast<char>(value >> (8 * i) & 0xff));
  }
}

// CRC-32 as in zip and PNG files. `crc` is that of the bytes before.
inline uint32_t Crc32(absl::string_view bytes, uint32_t crc = 0) {
  return static_cast<uint32_t>(
      crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace retort::io

#endif  // RETORT_CORE_IO_BYTES_H_
