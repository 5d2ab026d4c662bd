#ifndef RETORT_CORE_IO_ZIP_FORMAT_H_
#define RETORT_CORE_IO_ZIP_FORMAT_H_

#include <cstddef>
#include <cstdint>

// Numbers of PKWARE's APPNOTE 6.3 that the reader and the writer share.
namespace retort::io {

inline constexpr uint32_t kZipLocalMagic = 0x04034b50;
inline constexpr uint32_t kZipCentralMagic = 0x02014b50;
inline constexpr uint32_t kZipEndMagic = 0x06054b50;
inline constexpr uint32_t kZip64EndMagic = 0x06064b50;
inline constexpr uint32_t kZip64LocatorMagic = 0x07064b50;
// Lengths of these without names, extra fields and comments.
inline constexpr size_t kZipLocalBytes = 30;
inline constexpr size_t kZipCentralBytes = 46;
inline constexpr size_t kZipEndBytes = 22;
inline constexpr size_t kZip64EndBytes = 56;
inline constexpr size_t kZip64LocatorBytes = 20;
inline constexpr size_t kZipMaxComment = 0xffff;
inline constexpr uint16_t kZip64Extra = 1;
inline constexpr uint16_t kZipStored = 0;
inline constexpr uint16_t kZipDeflated = 8;
// "The number is in the 64-bit field."
inline constexpr uint64_t kZipIn64 = 0xffffffff;
inline constexpr uint64_t kZipIn64Short = 0xffff;

}  // namespace retort::io

#endif  // RETORT_CORE_IO_ZIP_FORMAT_H_
