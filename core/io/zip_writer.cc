#include "core/io/zip_writer.h"

#include "core/base/status_macros.h"
#include "core/io/bytes.h"
#include "core/io/zip_format.h"

namespace retort::io {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr int kVersion = 20, kVersion64 = 45;
constexpr int kFirstOfJanuary1980 = 0x21;
// PyTorch's name of a field that only fills up.
constexpr uint16_t kPaddingExtra = 0x4246;

// 4.5.3: the 64-bit numbers, each where its 32-bit one says kZipIn64.
std::string Extra64(uint64_t size, uint64_t stored) {
  std::string extra;
  AppendLittleEndian(kZip64Extra, 2, &extra);
  AppendLittleEndian(16, 2, &extra);
  AppendLittleEndian(size, 8, &extra);
  AppendLittleEndian(stored, 8, &extra);
  return extra;
}

// A field that brings what comes behind `at` to a multiple of kAlignment.
std::string Padding(uint64_t at) {
  const uint64_t fill = (kAlignment - (at + 4) % kAlignment) % kAlignment;
  std::string extra;
  AppendLittleEndian(kPaddingExtra, 2, &extra);
  AppendLittleEndian(fill, 2, &extra);
  extra.append(fill, 'Z');
  return extra;
}

// What 4.3.7 and 4.3.12 share: from the version that is needed to the length
// of the name.
std::string Common(bool large, uint32_t crc, uint64_t bytes,
                   size_t name_bytes) {
  std::string text;
  AppendLittleEndian(large ? kVersion64 : kVersion, 2, &text);
  AppendLittleEndian(0, 2, &text);  // flags
  AppendLittleEndian(kZipStored, 2, &text);
  AppendLittleEndian(0, 2, &text);  // time of day
  AppendLittleEndian(kFirstOfJanuary1980, 2, &text);
  AppendLittleEndian(crc, 4, &text);
  AppendLittleEndian(large ? kZipIn64 : bytes, 4, &text);
  AppendLittleEndian(large ? kZipIn64 : bytes, 4, &text);
  AppendLittleEndian(name_bytes, 2, &text);
  return text;
}

}  // namespace

absl::Status ZipWriter::Add(absl::string_view name, absl::string_view bytes) {
  const uint64_t at = file_->bytes_written();
  const bool large = always_64_ || bytes.size() >= kZipIn64 || at >= kZipIn64;
  const std::string common =
      Common(large, Crc32(bytes), bytes.size(), name.size());
  std::string extra = large ? Extra64(bytes.size(), bytes.size()) : "";
  std::string item;  // 4.3.12
  AppendLittleEndian(kZipCentralMagic, 4, &item);
  AppendLittleEndian(kVersion64, 2, &item);
  item += common;
  AppendLittleEndian(extra.size() + (large ? 8 : 0), 2, &item);
  item.append(10, '\0');  // comment, part, attributes
  AppendLittleEndian(large ? kZipIn64 : at, 4, &item);
  item += std::string(name);
  if (large) {
    std::string field = extra;
    field[2] = 24;
    AppendLittleEndian(at, 8, &field);
    item += field;
  }
  directory_ += item;
  ++entries_;

  std::string header;  // 4.3.7
  AppendLittleEndian(kZipLocalMagic, 4, &header);
  header += common;
  const std::string padding =
      Padding(at + kZipLocalBytes + name.size() + extra.size());
  extra += padding;
  AppendLittleEndian(extra.size(), 2, &header);
  header += std::string(name);
  header += extra;
  RETORT_RETURN_IF_ERROR(file_->Append(header));
  return file_->Append(bytes);
}

absl::Status ZipWriter::Finish() {
  const uint64_t at = file_->bytes_written();
  const uint64_t end = at + directory_.size();
  const bool large = always_64_ || entries_ >= kZipIn64Short || end >= kZipIn64;
  std::string tail;
  if (large) {
    AppendLittleEndian(kZip64EndMagic, 4, &tail);  // 4.3.14
    AppendLittleEndian(kZip64EndBytes - 12, 8, &tail);
    AppendLittleEndian(kVersion64, 2, &tail);
    AppendLittleEndian(kVersion64, 2, &tail);
    AppendLittleEndian(0, 8, &tail);  // parts
    AppendLittleEndian(entries_, 8, &tail);
    AppendLittleEndian(entries_, 8, &tail);
    AppendLittleEndian(directory_.size(), 8, &tail);
    AppendLittleEndian(at, 8, &tail);
    AppendLittleEndian(kZip64LocatorMagic, 4, &tail);  // 4.3.15
    AppendLittleEndian(0, 4, &tail);
    AppendLittleEndian(end, 8, &tail);
    AppendLittleEndian(1, 4, &tail);
  }
  AppendLittleEndian(kZipEndMagic, 4, &tail);  // 4.3.16
  AppendLittleEndian(0, 4, &tail);
  AppendLittleEndian(large ? kZipIn64Short : entries_, 2, &tail);
  AppendLittleEndian(large ? kZipIn64Short : entries_, 2, &tail);
  AppendLittleEndian(large ? kZipIn64 : directory_.size(), 4, &tail);
  AppendLittleEndian(large ? kZipIn64 : at, 4, &tail);
  AppendLittleEndian(0, 2, &tail);  // comment
  RETORT_RETURN_IF_ERROR(file_->Append(directory_));
  return file_->Append(tail);
}

}  // namespace retort::io
