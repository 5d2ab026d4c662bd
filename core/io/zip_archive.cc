#include "core/io/zip_archive.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

// PKWARE's APPNOTE 6.3; the section numbers below are its.
namespace retort::io {
namespace {

constexpr absl::string_view kLocalMagic("PK\x03\x04", 4);
constexpr absl::string_view kCentralMagic("PK\x01\x02", 4);
constexpr absl::string_view kEndMagic("PK\x05\x06", 4);
constexpr absl::string_view kZip64LocatorMagic("PK\x06\x07", 4);
constexpr absl::string_view kZip64EndMagic("PK\x06\x06", 4);
constexpr size_t kLocalBytes = 30;
constexpr size_t kCentralBytes = 46;
constexpr size_t kEndBytes = 22;
constexpr size_t kZip64LocatorBytes = 20;
constexpr size_t kZip64EndBytes = 56;
constexpr size_t kMaxComment = 65535;
constexpr uint64_t kMaxEntries = 1 << 20;
constexpr uint64_t kIn64 = 0xffffffff;  // "see the zip64 field"
constexpr uint16_t kEncrypted = 1;
constexpr uint16_t kZip64Extra = 1;

absl::Status BadZip(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("the zip file is damaged or cut off: ", what,
                   "; write it again with torch.save, and copy it whole"));
}

absl::Status BadEntry(absl::string_view name, absl::string_view what) {
  return BadZip(absl::StrCat(
      "its entry '", absl::CHexEscape(name.substr(0, 200)), "' ", what));
}

// `at + count` must lie in `bytes`.
uint64_t Number(absl::string_view bytes, size_t at, int count) {
  uint64_t value = 0;
  for (int i = count; i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return value;
}

struct Directory {
  uint64_t offset = 0, bytes = 0, entries = 0;
};

struct Entry {
  std::string name;
  uint64_t offset = 0, bytes = 0;
  uint32_t crc = 0;
};

// 4.3.14 and 4.3.15: in front of the end record, where sizes need it.
absl::StatusOr<Directory> ReadZip64End(absl::string_view bytes, size_t end) {
  if (end < kZip64LocatorBytes) return BadZip("it has no zip64 locator");
  const size_t locator = end - kZip64LocatorBytes;
  const uint64_t at = Number(bytes, locator + 8, 8);
  if (!absl::StartsWith(bytes.substr(locator), kZip64LocatorMagic) ||
      at > locator || locator - at < kZip64EndBytes ||
      !absl::StartsWith(bytes.substr(at), kZip64EndMagic)) {
    return BadZip("it has no zip64 end record");
  }
  return Directory{Number(bytes, at + 48, 8), Number(bytes, at + 40, 8),
                   Number(bytes, at + 32, 8)};
}

// 4.3.16.
absl::StatusOr<Directory> FindDirectory(absl::string_view bytes) {
  if (bytes.size() < kEndBytes) return BadZip("it is too short");
  const size_t last = bytes.size() - kEndBytes;
  const size_t first = last > kMaxComment ? last - kMaxComment : 0;
  for (size_t end = last + 1; end-- > first;) {
    if (!absl::StartsWith(bytes.substr(end), kEndMagic) ||
        Number(bytes, end + 20, 2) != last - end) {
      continue;
    }
    Directory directory{Number(bytes, end + 16, 4), Number(bytes, end + 12, 4),
                        Number(bytes, end + 10, 2)};
    if (directory.offset == kIn64 || directory.bytes == kIn64 ||
        directory.entries == 0xffff) {
      RETORT_ASSIGN_OR_RETURN(directory, ReadZip64End(bytes, end));
    }
    if (directory.offset > end || directory.bytes > end - directory.offset ||
        directory.entries > kMaxEntries ||
        directory.entries > directory.bytes / kCentralBytes) {
      return BadZip("its directory does not lie in the file");
    }
    return directory;
  }
  return BadZip("it has no end record");
}

// 4.5.3: 64-bit values of those fields that say so, in this order.
absl::Status ReadZip64Extra(absl::string_view extra, uint64_t unpacked,
                            Entry* entry) {
  for (size_t at = 0; extra.size() - at >= 4;) {
    const uint64_t id = Number(extra, at, 2), length = Number(extra, at + 2, 2);
    at += 4;
    if (length > extra.size() - at) break;
    if (id == kZip64Extra) {
      const absl::string_view field = extra.substr(at, length);
      size_t next = unpacked == kIn64 ? 8 : 0;
      for (uint64_t* value : {&entry->bytes, &entry->offset}) {
        if (*value != kIn64) continue;
        if (next + 8 > field.size()) break;
        *value = Number(field, next, 8);
        next += 8;
      }
      return absl::OkStatus();
    }
    at += length;
  }
  return BadEntry(entry->name, "has no zip64 field");
}

// 4.3.12. Moves `at` behind the entry.
absl::StatusOr<Entry> ReadCentral(absl::string_view directory, size_t* at) {
  if (directory.size() - *at < kCentralBytes ||
      !absl::StartsWith(directory.substr(*at), kCentralMagic)) {
    return BadZip("its directory is malformed");
  }
  const auto field = [&](size_t offset, int count) {
    return Number(directory, *at + offset, count);
  };
  const size_t name = field(28, 2), extra = field(30, 2);
  const size_t whole = kCentralBytes + name + extra + field(32, 2);
  if (directory.size() - *at < whole) {
    return BadZip("its directory is malformed");
  }
  Entry entry;
  entry.name = std::string(directory.substr(*at + kCentralBytes, name));
  entry.crc = static_cast<uint32_t>(field(16, 4));
  entry.bytes = field(20, 4);
  entry.offset = field(42, 4);
  if ((field(8, 2) & kEncrypted) != 0) {
    return BadEntry(entry.name, "is encrypted");
  }
  if (field(10, 2) != 0) {
    return BadEntry(entry.name, "is compressed, which torch.save does not do");
  }
  const uint64_t unpacked = field(24, 4);
  if (entry.bytes != unpacked) {
    return BadEntry(entry.name, "has two different sizes");
  }
  if (entry.bytes == kIn64 || entry.offset == kIn64) {
    RETORT_RETURN_IF_ERROR(ReadZip64Extra(
        directory.substr(*at + kCentralBytes + name, extra), unpacked, &entry));
  }
  *at += whole;
  return entry;
}

// 4.3.7. `end` is where the directory begins.
absl::StatusOr<absl::string_view> ReadLocal(absl::string_view bytes,
                                            const Entry& entry, uint64_t end) {
  if (entry.offset > end || end - entry.offset < kLocalBytes ||
      !absl::StartsWith(bytes.substr(entry.offset), kLocalMagic)) {
    return BadEntry(entry.name, "is not where the directory says");
  }
  const uint64_t name = Number(bytes, entry.offset + 26, 2);
  const uint64_t header =
      kLocalBytes + name + Number(bytes, entry.offset + 28, 2);
  const uint64_t room = end - entry.offset;
  if (room < header || room - header < entry.bytes) {
    return BadEntry(entry.name, "is longer than the file");
  }
  if (bytes.substr(entry.offset + kLocalBytes, name) != entry.name) {
    return BadEntry(entry.name, "has another name where it lies");
  }
  return bytes.substr(entry.offset + header, entry.bytes);
}

absl::Status CheckCrc(const Entry& entry, absl::string_view data) {
  const uLong actual =
      crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size());
  if (actual == entry.crc) return absl::OkStatus();
  return BadEntry(entry.name, "does not have the CRC-32 that is written");
}

absl::Status CheckOverlap(
    std::vector<std::pair<const char*, const char*>> spans) {
  std::sort(spans.begin(), spans.end());
  for (size_t i = 1; i < spans.size(); ++i) {
    if (spans[i].first < spans[i - 1].second) {
      return BadZip("its entries overlap");
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool IsZip(absl::string_view bytes) {
  return absl::StartsWith(bytes, kLocalMagic);
}

absl::StatusOr<std::map<std::string, absl::string_view>> ReadZip(
    absl::string_view bytes, bool check_crc) {
  RETORT_ASSIGN_OR_RETURN(const Directory directory, FindDirectory(bytes));
  const absl::string_view central =
      bytes.substr(directory.offset, directory.bytes);
  std::map<std::string, absl::string_view> entries;
  std::vector<std::pair<const char*, const char*>> spans;
  size_t at = 0;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    RETORT_ASSIGN_OR_RETURN(const Entry entry, ReadCentral(central, &at));
    RETORT_ASSIGN_OR_RETURN(const absl::string_view data,
                            ReadLocal(bytes, entry, directory.offset));
    if (check_crc) RETORT_RETURN_IF_ERROR(CheckCrc(entry, data));
    if (!entries.emplace(entry.name, data).second) {
      return BadEntry(entry.name, "is there twice");
    }
    spans.emplace_back(bytes.data() + entry.offset, data.data() + data.size());
  }
  RETORT_RETURN_IF_ERROR(CheckOverlap(std::move(spans)));
  return entries;
}

}  // namespace retort::io
